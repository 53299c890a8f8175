/* tables.c - growing arrays and hash tables of numbers. Called from: names.c. */
#include "tables.h"

#include <stdlib.h>
#include <string.h>

uint32_t tmk_column_get(const struct tmk_column *c, uint32_t i)
{
	return i < c->size ? c->value[i] : 0;
}

bool tmk_column_set(struct tmk_column *c, uint32_t i, uint32_t value)
{
	if (i >= TMK_COLUMN_MOST)
		return true;
	if (i >= c->size) {
		uint32_t size = c->size ? c->size : 1024;
		while (size <= i)
			size *= 2;
		uint32_t *p = realloc(c->value, size * sizeof(*p));
		if (!p)
			return false;
		memset(p + c->size, 0, (size - c->size) * sizeof(*p));
		c->value = p;
		c->size = size;
	}
	c->value[i] = value;
	return true;
}

void tmk_column_free(struct tmk_column *c)
{
	free(c->value);
}

/* Keys are made of two numbers, one above the other, of which the lower alone would lead to one
 * place for many. */
static uint32_t home(const struct tmk_map *m, uint64_t key)
{
	return (uint32_t)(key * 0x9e3779b97f4a7c15u >> 32) & m->mask;
}

static void map_grow(struct tmk_map *m)
{
	struct tmk_map bigger = {.mask = m->mask ? m->mask * 2 + 1 : 4095,
	                         .used = m->used};
	bigger.key = calloc(bigger.mask + 1, sizeof(*bigger.key));
	bigger.value = calloc(bigger.mask + 1, sizeof(*bigger.value));
	if (!bigger.key || !bigger.value) {
		free(bigger.key);
		free(bigger.value);
		return;
	}
	for (uint32_t i = 0; m->key && i <= m->mask; i++) {
		if (!m->key[i])
			continue;
		uint32_t j = home(&bigger, m->key[i]);
		while (bigger.key[j])
			j = (j + 1) & bigger.mask;
		bigger.key[j] = m->key[i];
		bigger.value[j] = m->value[i];
	}
	free(m->key);
	free(m->value);
	*m = bigger;
}

uint32_t *tmk_map_at(struct tmk_map *m, uint64_t key)
{
	key += !key;
	if (!m->key || m->used > m->mask / 2)
		map_grow(m);
	if (!m->key || m->used == m->mask) /* full: one place stays empty, to stop at */
		return NULL;
	uint32_t i = home(m, key);
	while (m->key[i] && m->key[i] != key)
		i = (i + 1) & m->mask;
	if (!m->key[i]) {
		m->key[i] = key;
		m->used++;
	}
	return &m->value[i];
}

void tmk_map_free(struct tmk_map *m)
{
	free(m->key);
	free(m->value);
}
