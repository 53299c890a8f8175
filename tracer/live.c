/* live.c - open addressing with backward-shift deletion. Called from: model.c, step.c. */
#include "live.h"

#include <stdlib.h>
#include <string.h>

static uint32_t home(const struct tmk_live_table *t, uint8_t device, uint64_t ptr)
{
	uint64_t h = (ptr >> 6 ^ (uint64_t)device << 56) * 0x9e3779b97f4a7c15ull;
	return (uint32_t)(h >> 32) & t->mask;
}

static uint32_t probe(const struct tmk_live_table *t, uint8_t device, uint64_t ptr)
{
	uint32_t i = home(t, device, ptr);
	while (t->slot[i].used &&
	       (t->slot[i].ptr != ptr || t->slot[i].device != device))
		i = (i + 1) & t->mask;
	return i;
}

static bool grow(struct tmk_live_table *t)
{
	struct tmk_live_table bigger = {.mask = t->slot ? t->mask * 2 + 1 : 8191};
	bigger.slot = calloc((size_t)bigger.mask + 1, sizeof *bigger.slot);
	if (!bigger.slot)
		return false;
	for (uint32_t i = 0; t->slot && i <= t->mask; i++)
		if (t->slot[i].used)
			bigger.slot[probe(&bigger, t->slot[i].device, t->slot[i].ptr)] =
			        t->slot[i];
	free(t->slot);
	t->slot = bigger.slot;
	t->mask = bigger.mask;
	t->stale = true;
	return true;
}

struct tmk_live *tmk_live_add(struct tmk_live_table *t, uint8_t device, uint64_t ptr,
                              bool *existed)
{
	if ((!t->slot || t->count > t->mask / 2) && !grow(t))
		return NULL;
	struct tmk_live *e = &t->slot[probe(t, device, ptr)];
	*existed = e->used;
	t->count += !e->used;
	memset(e, 0, sizeof *e);
	e->ptr = ptr;
	e->device = device;
	e->used = 1;
	t->stale = true;
	return e;
}

struct tmk_live *tmk_live_find(struct tmk_live_table *t, uint8_t device, uint64_t ptr)
{
	if (!t->slot)
		return NULL;
	struct tmk_live *e = &t->slot[probe(t, device, ptr)];
	return e->used ? e : NULL;
}

static int by_address(const void *a, const void *b)
{
	uint64_t x = (*(struct tmk_live *const *)a)->ptr;
	uint64_t y = (*(struct tmk_live *const *)b)->ptr;
	return x < y ? -1 : x > y;
}

static void sort(struct tmk_live_table *t)
{
	struct tmk_live **p = realloc(t->sorted, (t->count + 1) * sizeof *p);
	if (!p)
		return;
	t->sorted = p;
	t->sorted_count = 0;
	for (uint32_t i = 0; i <= t->mask; i++)
		if (t->slot[i].used)
			t->sorted[t->sorted_count++] = &t->slot[i];
	qsort(t->sorted, t->sorted_count, sizeof *t->sorted, by_address);
	t->stale = false;
}

struct tmk_live *tmk_live_around(struct tmk_live_table *t, uint64_t ptr)
{
	if (!t->slot)
		return NULL;
	for (uint8_t device = 0; device < 2;
	     device++) { /* the usual case: a block's start */
		struct tmk_live *e = tmk_live_find(t, device, ptr);
		if (e)
			return e;
	}
	if (t->stale)
		sort(t);
	uint32_t lo = 0, hi = t->sorted_count;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (t->sorted[mid]->ptr <= ptr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo || ptr - t->sorted[lo - 1]->ptr >= (uint64_t)t->sorted[lo - 1]->bytes)
		return NULL;
	return t->sorted[lo - 1];
}

void tmk_live_remove(struct tmk_live_table *t, struct tmk_live *entry)
{
	uint32_t hole = (uint32_t)(entry - t->slot), i = hole;
	for (;;) {
		i = (i + 1) & t->mask;
		if (!t->slot[i].used)
			break;
		uint32_t h = home(t, t->slot[i].device, t->slot[i].ptr);
		if (((i - h) & t->mask) >= ((i - hole) & t->mask)) {
			t->slot[hole] = t->slot[i];
			hole = i;
		}
	}
	t->slot[hole].used = 0;
	t->count--;
	t->stale = true;
}

void tmk_live_free(struct tmk_live_table *t)
{
	free(t->slot);
	free(t->sorted);
	memset(t, 0, sizeof *t);
}
