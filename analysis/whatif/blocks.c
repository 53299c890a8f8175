/* blocks.c - the allocator's blocks, cut and joined, and the shelves of free ones.
 * Called from: allocator.c. */
#include "blocks.h"

#include <string.h>

#include "heap.h"

/* ---- shelves ------------------------------------------------------------------------- */

/* Where a block of this size and address is, or would be. */
size_t blocks_place(const struct allocator *a, const struct shelf *shelf, int64_t bytes,
                    int64_t address)
{
	size_t low = 0, high = shelf->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		const struct cell *block = &a->blocks[shelf->blocks[middle]];
		if (block->bytes < bytes ||
		    (block->bytes == bytes && block->address < address))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static size_t place_by_address(const struct allocator *a, const struct shelf *shelf,
                               int64_t address)
{
	size_t low = 0;

	while (low < shelf->count && a->blocks[shelf->blocks[low]].address < address)
		low++;
	return low;
}

static void insert(struct shelf *shelf, size_t at, int32_t block)
{
	shelf->blocks =
	        grow(shelf->blocks, shelf->count, &shelf->room, sizeof(*shelf->blocks));
	memmove(&shelf->blocks[at + 1], &shelf->blocks[at],
	        (shelf->count - at) * sizeof(*shelf->blocks));
	shelf->blocks[at] = block;
	shelf->count++;
}

void blocks_take_out(struct shelf *shelf, size_t at)
{
	memmove(&shelf->blocks[at], &shelf->blocks[at + 1],
	        (--shelf->count - at) * sizeof(*shelf->blocks));
}

void blocks_put_back(struct allocator *a, int32_t number)
{
	struct cell *block = &a->blocks[number];
	struct pool *pool = &a->pools[block->pool];

	block->since = a->large_requests;
	if (block->mapped)
		insert(&pool->free,
		       blocks_place(a, &pool->free, block->bytes, block->address),
		       number);
	else
		insert(&pool->unmapped,
		       place_by_address(a, &pool->unmapped, block->address), number);
}

void blocks_pick_up(struct allocator *a, int32_t number)
{
	const struct cell *block = &a->blocks[number];
	struct pool *pool = &a->pools[block->pool];

	if (block->mapped)
		blocks_take_out(&pool->free, blocks_place(a, &pool->free, block->bytes,
		                                          block->address));
	else
		blocks_take_out(&pool->unmapped,
		                place_by_address(a, &pool->unmapped, block->address));
}

int32_t blocks_pool(struct allocator *a, int stream, bool small)
{
	for (size_t i = 0; i < a->pool_count; i++)
		if (a->pools[i].stream == stream && a->pools[i].small == small)
			return (int32_t)i;
	a->pools = grow(a->pools, a->pool_count, &a->pool_room, sizeof(*a->pools));
	a->pools[a->pool_count] = (struct pool){.stream = stream, .small = small};
	return (int32_t)a->pool_count++;
}

int32_t blocks_new(struct allocator *a, struct cell block)
{
	int32_t number;

	if (a->spare_count) {
		number = a->spare[--a->spare_count];
	} else {
		a->blocks = grow(a->blocks, a->count, &a->room, sizeof(*a->blocks));
		number = (int32_t)a->count++;
	}
	a->blocks[number] = block;
	return number;
}

void blocks_drop(struct allocator *a, int32_t number)
{
	a->spare = grow(a->spare, a->spare_count, &a->spare_room, sizeof(*a->spare));
	a->spare[a->spare_count++] = number;
}

/* ---- cutting and joining --------------------------------------------------------------- */

static bool joins(const struct allocator *a, int32_t one, int32_t other)
{
	return other >= 0 && !a->blocks[other].used &&
	       a->blocks[other].mapped == a->blocks[one].mapped;
}

/* A block that is on no shelf takes in free neighbours of its kind. */
int32_t blocks_join(struct allocator *a, int32_t number)
{
	struct cell *block = &a->blocks[number];

	if (joins(a, number, block->after)) {
		int32_t gone = block->after;
		blocks_pick_up(a, gone);
		block->bytes += a->blocks[gone].bytes;
		block->after = a->blocks[gone].after;
		if (block->after >= 0)
			a->blocks[block->after].before = number;
		blocks_drop(a, gone);
	}
	if (joins(a, number, block->before)) {
		int32_t gone = block->before;
		blocks_pick_up(a, gone);
		block->bytes += a->blocks[gone].bytes;
		block->address = a->blocks[gone].address;
		block->before = a->blocks[gone].before;
		if (block->before >= 0)
			a->blocks[block->before].after = number;
		blocks_drop(a, gone);
	}
	return number;
}

/* Cuts a block in two; the rest, behind it, is on no shelf. */
int32_t blocks_cut(struct allocator *a, int32_t number, int64_t bytes)
{
	struct cell rest = a->blocks[number];
	int32_t other;

	rest.address += bytes;
	rest.bytes -= bytes;
	rest.before = number;
	rest.used = false;
	other = blocks_new(a, rest);
	a->blocks[number].bytes = bytes;
	a->blocks[number].after = other;
	if (rest.after >= 0)
		a->blocks[rest.after].before = other;
	return other;
}
