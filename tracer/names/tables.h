/* tables.h - numbers by number and by hash, on the writer thread. All zeros is empty; what
 * finds no memory is not kept, and then reads as 0. */
#ifndef TIDEMARK_TRACER_TABLES_H
#define TIDEMARK_TRACER_TABLES_H

#include <stdbool.h>
#include <stdint.h>

/* A growing array: what a number from a ring stands for. The tables that give numbers out
 * hold far fewer than MOST; a damaged file may hold any. */
enum { TMK_COLUMN_MOST = 1 << 24 };
struct tmk_column {
	uint32_t *value;
	uint32_t size;
};

uint32_t tmk_column_get(const struct tmk_column *c, uint32_t i); /* 0: never set */
/* False without memory. */
bool tmk_column_set(struct tmk_column *c, uint32_t i, uint32_t value);
void tmk_column_free(struct tmk_column *c);

/* key to number, open addressing */
struct tmk_map {
	uint64_t *key;
	uint32_t *value;
	uint32_t mask, used;
};

/* Where the number of `key` stands, or belongs: 0 there when it is new. Valid until the
 * next call; NULL without memory. */
uint32_t *tmk_map_at(struct tmk_map *m, uint64_t key);
void tmk_map_free(struct tmk_map *m);

#endif
