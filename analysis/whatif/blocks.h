/* blocks.h - the allocator's blocks, cut and joined, and the shelves of free ones. For allocator.c
 * alone. */
#ifndef TIDEMARK_ANALYSIS_BLOCKS_H
#define TIDEMARK_ANALYSIS_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>

#include "allocator.h"
#include "space.h"

struct cell {
	int64_t address, bytes;
	int32_t before, after; /* neighbours in the segment; -1 */
	int32_t pool;
	bool used, mapped, expandable;
	int64_t since; /* requests of large blocks when it came onto its shelf */
};

/* Free blocks, by size and address. */
struct shelf {
	int32_t *blocks;
	size_t count, room;
};

struct pool { /* of one stream: small, or large */
	struct shelf free;
	struct shelf unmapped; /* of expandable segments, by address */
	int stream;
	bool small;
};

struct allocator {
	struct rules rules;
	int64_t capacity, reserved, allocated, retries;
	int64_t large_requests; /* what the age of a free block is counted in */
	int64_t next_address;   /* of a stretch; of a segment too where it is told */
	struct space space;     /* of segments whose place is not told */
	int64_t wish;           /* where the next one would best lie; -1 */
	bool told;
	struct cell *blocks;
	size_t count, room;
	int32_t *spare; /* numbers of blocks that are gone */
	size_t spare_count, spare_room;
	struct pool *pools;
	size_t pool_count, pool_room;
};

/* Where on its shelf a block of this size and address is, or would be. */
size_t blocks_place(const struct allocator *a, const struct shelf *shelf, int64_t bytes,
                    int64_t address);

/* Onto the shelf where it belongs, and off it. */
void blocks_put_back(struct allocator *a, int32_t number);
void blocks_pick_up(struct allocator *a, int32_t number);
void blocks_take_out(struct shelf *shelf, size_t at);

int32_t blocks_new(struct allocator *a, struct cell block);
void blocks_drop(struct allocator *a, int32_t number);

/* The number of a stream's pool; it is made where there is none. */
int32_t blocks_pool(struct allocator *a, int stream, bool small);

/* A block that is on no shelf takes in free neighbours of its kind. */
int32_t blocks_join(struct allocator *a, int32_t number);

/* Cuts a block in two; the rest, behind it, is on no shelf. */
int32_t blocks_cut(struct allocator *a, int32_t number, int64_t bytes);

#endif
