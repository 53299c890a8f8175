/* pool.h - the blocks that are alive at one instant of a flow: by row, by place, by address. */
#ifndef TIDEMARK_ANALYSIS_POOL_H
#define TIDEMARK_ANALYSIS_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct piece_of {
	int64_t row, ordinal; /* of the row that it was told by, last */
	int64_t address, bytes, requested, site, bucket, phase, time_ns;
	int32_t device;
	bool segment, expandable, lone; /* as in struct act */
	bool heir;                      /* it can be found by place */
	struct piece_of *row_before, *row_after, *heir_before, *heir_after;
};

struct pool;
struct pool *pool_new(void);
void pool_free(struct pool *pool);

/* Puts a copy in; where its addresses are taken it gets others, and *moved is raised. */
struct piece_of *pool_add(struct pool *pool, const struct piece_of *piece,
                          int64_t *moved);
void pool_remove(struct pool *pool, struct piece_of *piece);

/* It is told by another row from now on. */
void pool_rename(struct pool *pool, struct piece_of *piece, int64_t row);

/* The last one that was told by a row; NULL. */
struct piece_of *pool_by_row(struct pool *pool, int64_t row);

/* The oldest of a place, a size and a device that has no row to go by; NULL. */
struct piece_of *pool_heir(struct pool *pool, int64_t site, int64_t bytes,
                           int32_t device);

/* The one that holds an address; NULL. */
struct piece_of *pool_at(struct pool *pool, int32_t device, int64_t address);

/* In order of device and address. */
void pool_each(struct pool *pool,
               void (*visit)(void *context, const struct piece_of *piece),
               void *context);

#endif
