/* live.c - entries in an array; a hash table of their numbers by device and address, with
 * open addressing and backward-shift deletion; and their order by address (order.c), which
 * those born lately enter late: most blocks of a training step are gone by then.
 * Called from: model.c, evidence.c, step.c, save.c, classify.c. */
#include "live.h"

#include <stdlib.h>
#include <string.h>

enum { UNUSED, FRESH, ORDERED, COUNTED }; /* tmk_live.used */

struct tmk_live_slot {
	uint32_t entry; /* 0: free */
	uint32_t hash;
};

static uint32_t hash_of(uint8_t device, uint64_t ptr)
{
	return (uint32_t)((ptr ^ (uint64_t)device << 56) * 0x9e3779b97f4a7c15ull >> 32);
}

static struct tmk_live_slot *probe(const struct tmk_live_table *t, uint8_t device,
                                   uint64_t ptr)
{
	uint32_t hash = hash_of(device, ptr), i = hash & t->mask;
	for (; t->slot[i].entry; i = (i + 1) & t->mask) {
		const struct tmk_live *e = &t->entry[t->slot[i].entry];
		if (t->slot[i].hash == hash && e->ptr == ptr && e->device == device)
			break;
	}
	return &t->slot[i];
}

/* ---- room ------------------------------------------------------------------------ */

static bool widen(struct tmk_live_table *t)
{
	uint32_t mask = t->slot ? t->mask * 2 + 1 : 8191;
	struct tmk_live_slot *bigger = calloc((size_t)mask + 1, sizeof(*bigger));
	if (!bigger)
		return false;
	for (uint32_t i = 0; t->slot && i <= t->mask; i++) {
		uint32_t k = t->slot[i].hash & mask;
		if (!t->slot[i].entry)
			continue;
		while (bigger[k].entry)
			k = (k + 1) & mask;
		bigger[k] = t->slot[i];
	}
	free(t->slot);
	t->slot = bigger;
	t->mask = mask;
	return true;
}

static bool lengthen(struct tmk_live_table *t)
{
	uint32_t room = t->room ? t->room * 2 : 4096;
	struct tmk_live *longer = realloc(t->entry, room * sizeof(*longer));
	if (!longer)
		return false;
	t->entry = longer;
	t->room = room;
	if (!t->entries)
		t->entries = 1; /* entry 0 stands for none */
	return true;
}

static uint32_t vacant(struct tmk_live_table *t)
{
	uint32_t number = t->vacant;
	if (number)
		t->vacant = t->entry[number].next;
	else
		number = t->entries++;
	return number;
}

/* ---- order ----------------------------------------------------------------------- */

/* Those born lately take their places; without memory they stay where they are. */
static void put_in_order(struct tmk_live_table *t)
{
	uint32_t left = 0;
	for (uint32_t i = 0; i < t->fresh_count; i++) {
		uint32_t number = t->fresh[i];
		struct tmk_live *e = &t->entry[number];
		if (e->used != FRESH)
			continue; /* died, or stands here twice */
		if (tmk_order_add(&t->order, e->ptr, (uint64_t)e->bytes, e->device,
		                  number))
			e->used = ORDERED;
		else
			t->fresh[left++] = number;
	}
	t->fresh_count = left;
}

/* The list is full: those that died leave it, and if too few did, the others too. */
static void make_room(struct tmk_live_table *t)
{
	uint32_t left = 0;
	for (uint32_t i = 0; i < t->fresh_count; i++) {
		struct tmk_live *e = &t->entry[t->fresh[i]];
		if (e->used != FRESH)
			continue;
		e->used = COUNTED; /* it may stand here twice */
		t->fresh[left++] = t->fresh[i];
	}
	for (uint32_t i = 0; i < left; i++)
		t->entry[t->fresh[i]].used = FRESH;
	t->fresh_count = left;
	if (left > TMK_LIVE_NEW / 2)
		put_in_order(t);
}

struct tmk_live *tmk_live_around_on(struct tmk_live_table *t, uint8_t device,
                                    uint64_t ptr)
{
	put_in_order(t);
	int64_t number = tmk_order_around(&t->order, device, ptr);
	for (uint32_t i = 0; number < 0 && i < t->fresh_count; i++) {
		const struct tmk_live *e = &t->entry[t->fresh[i]];
		if (ptr - e->ptr < (uint64_t)e->bytes &&
		    (device == e->device || device == TMK_ORDER_ANY))
			number = t->fresh[i];
	}
	return number < 0 ? NULL : &t->entry[number];
}

struct tmk_live *tmk_live_around(struct tmk_live_table *t, uint64_t ptr)
{
	return tmk_live_around_on(t, TMK_ORDER_ANY, ptr);
}

/* ---- entries --------------------------------------------------------------------- */

struct tmk_live *tmk_live_add(struct tmk_live_table *t, uint8_t device, uint64_t ptr,
                              bool *existed)
{
	*existed = false;
	if (t->fresh_count == TMK_LIVE_NEW)
		make_room(t);
	if (t->fresh_count == TMK_LIVE_NEW ||
	    ((!t->slot || t->count > t->mask / 2) && !widen(t)) ||
	    (!t->vacant && t->entries == t->room && !lengthen(t)))
		return NULL;
	struct tmk_live_slot *slot = probe(t, device, ptr);
	uint32_t number = slot->entry;
	if (number) {
		*existed = true;
		if (t->entry[number].used == ORDERED)
			tmk_order_remove(&t->order, ptr, number);
	} else {
		number = vacant(t);
		*slot = (struct tmk_live_slot){number, hash_of(device, ptr)};
		t->count++;
	}
	t->fresh[t->fresh_count++] = number;
	struct tmk_live *e = &t->entry[number];
	memset(e, 0, sizeof(*e));
	e->ptr = ptr;
	e->device = device;
	e->used = FRESH;
	return e;
}

struct tmk_live *tmk_live_find(struct tmk_live_table *t, uint8_t device, uint64_t ptr)
{
	uint32_t number = t->slot ? probe(t, device, ptr)->entry : 0;
	return number ? &t->entry[number] : NULL;
}

struct tmk_live *tmk_live_next(const struct tmk_live_table *t, const struct tmk_live *e)
{
	uint32_t number = e ? (uint32_t)(e - t->entry) + 1 : 1;
	while (number < t->entries && !t->entry[number].used)
		number++;
	return number < t->entries ? &t->entry[number] : NULL;
}

void tmk_live_remove(struct tmk_live_table *t, struct tmk_live *e)
{
	uint32_t number = (uint32_t)(e - t->entry);
	uint32_t hole = (uint32_t)(probe(t, e->device, e->ptr) - t->slot), i = hole;
	for (;;) {
		i = (i + 1) & t->mask;
		if (!t->slot[i].entry)
			break;
		uint32_t home = t->slot[i].hash & t->mask;
		if (((i - home) & t->mask) >= ((i - hole) & t->mask)) {
			t->slot[hole] = t->slot[i];
			hole = i;
		}
	}
	t->slot[hole].entry = 0;
	t->count--;
	if (e->used == ORDERED)
		tmk_order_remove(&t->order, e->ptr, number);
	else if (t->fresh_count && t->fresh[t->fresh_count - 1] == number)
		t->fresh_count--; /* gone as it came: as most are */
	e->used = UNUSED;
	e->next = t->vacant;
	t->vacant = number;
}

void tmk_live_free(struct tmk_live_table *t)
{
	tmk_order_free(&t->order);
	free(t->entry);
	free(t->slot);
	memset(t, 0, sizeof(*t));
}
