/* allocator.c - PyTorch's native caching allocator as a model.
 *
 * Memory comes from the device in segments and is cut into blocks. A request takes the
 * smallest free block of its stream and pool (small: up to 1 MiB) that is large enough, the
 * lowest address among equals, and cuts off what is left if that is worth it. Neighbours that
 * are free become one. Without a block it asks the device; if that refuses, it gives back the
 * segments without a block and asks once more. Expandable segments are one stretch of
 * addresses for each pool, of which pages are backed as they are needed.
 * Source: c10/cuda/CUDACachingAllocator.cpp, DeviceCachingAllocator, PyTorch 2.1 to 2.15.
 * Called from: walk/, whatif/. */
#include "allocator.h"

#include <stdlib.h>
#include <string.h>

#include "blocks.h"
#include "heap.h"
#include "segments.h"
#include "whole.h"

#define MIB ((int64_t)1 << 20)
enum { LEAST = 512, SMALL_MIB = 1, SMALL_SEGMENT_MIB = 2, LARGE_SEGMENT_MIB = 20 };
#define STRETCH ((int64_t)1 << 44) /* addresses of one expandable segment */

struct allocator *allocator_new(const struct rules *rules, int64_t capacity)
{
	struct allocator *a = allocate(sizeof(*a));

	a->rules = *rules;
	a->capacity = capacity;
	a->next_address = STRETCH;
	a->wish = -1;
	return a;
}

void allocator_free(struct allocator *a)
{
	for (size_t i = 0; i < a->pool_count; i++) {
		free(a->pools[i].free.blocks);
		free(a->pools[i].unmapped.blocks);
	}
	free(a->pools);
	free(a->blocks);
	free(a->spare);
	space_free(&a->space);
	free(a);
}

static bool worth_a_cut(const struct allocator *a, const struct cell *block,
                        int64_t bytes)
{
	int64_t rest = block->bytes - bytes;

	if (a->pools[block->pool].small || a->rules.expandable)
		return rest >= LEAST;
	return bytes < a->rules.max_split && rest > SMALL_MIB * MIB;
}

/* ---- the device ------------------------------------------------------------------------ */

static bool from_device(struct allocator *a, int64_t bytes)
{
	if (bytes > a->capacity - a->reserved)
		return false;
	a->reserved += bytes;
	return true;
}

/* Backs the first bytes of an unmapped block with pages; joined with its neighbours, on a
 * shelf. -1: the device has none left. */
static int32_t map(struct allocator *a, int32_t number, int64_t bytes)
{
	struct cell *block = &a->blocks[number];
	int64_t page =
	        (a->pools[block->pool].small ? SMALL_SEGMENT_MIB : LARGE_SEGMENT_MIB) *
	        MIB;
	int64_t size = (bytes + page - 1) / page * page;

	if (size > block->bytes)
		size = block->bytes;
	if (!from_device(a, size))
		return -1;
	blocks_pick_up(a, number);
	if (size < block->bytes)
		blocks_put_back(a, blocks_cut(a, number, size));
	a->blocks[number].mapped = true;
	number = blocks_join(a, number);
	blocks_put_back(a, number);
	return number;
}

/* A stretch of free and unmapped blocks with room; the first of them. */
static int32_t find_stretch(struct allocator *a, int32_t pool, int64_t bytes)
{
	struct shelf *unmapped = &a->pools[pool].unmapped;
	int32_t made;

	for (size_t i = 0; i < unmapped->count; i++) {
		int32_t first = unmapped->blocks[i];
		int32_t before = a->blocks[first].before;
		int64_t room = 0;
		if (before >= 0 && !a->blocks[before].used)
			first = before;
		for (int32_t at = first; at >= 0 && room < bytes && !a->blocks[at].used;
		     at = a->blocks[at].after)
			room += a->blocks[at].bytes;
		if (room >= bytes)
			return first;
	}
	made = blocks_new(a, (struct cell){.address = a->next_address,
	                                   .bytes = STRETCH,
	                                   .before = -1,
	                                   .after = -1,
	                                   .pool = pool,
	                                   .expandable = true});
	a->next_address += 2 * STRETCH;
	blocks_put_back(a, made);
	return made;
}

static int32_t from_stretch(struct allocator *a, int32_t pool, int64_t bytes)
{
	int32_t number = find_stretch(a, pool, bytes);

	if (!a->blocks[number].mapped)
		number = map(a, number,
		             bytes < a->blocks[number].bytes ? bytes
		                                             : a->blocks[number].bytes);
	while (number >= 0 && a->blocks[number].bytes < bytes) {
		int32_t next = a->blocks[number].after;
		int64_t rest = bytes - a->blocks[number].bytes;
		if (next < 0)
			return -1;
		number = map(a, next,
		             rest < a->blocks[next].bytes ? rest
		                                          : a->blocks[next].bytes);
	}
	if (number >= 0)
		blocks_pick_up(a, number);
	return number;
}

static int32_t new_segment(struct allocator *a, int32_t pool, int64_t bytes)
{
	int64_t size = segment_size(bytes);
	struct cell block = {
	        .bytes = size, .before = -1, .after = -1, .pool = pool, .mapped = true};

	if (a->rules.expandable)
		return from_stretch(a, pool, bytes);
	if (!from_device(a, size))
		return -1;
	block.address =
	        a->told ? a->next_address : space_take(&a->space, size, a->wish);
	if (!a->told && block.address < 0) {
		a->reserved -= size;
		return -1;
	}
	return blocks_new(a, block);
}

/* A free block that fits, on its shelf; -1. */
static int32_t best_fit(struct allocator *a, int32_t number, int64_t bytes)
{
	struct shelf *shelf = &a->pools[number].free;
	size_t at = blocks_place(a, shelf, bytes, 0);
	int32_t found;

	if (at == shelf->count)
		return -1;
	found = shelf->blocks[at];
	/* The last one of a stretch counts for what it can grow to. */
	for (; a->rules.expandable && at + 1 < shelf->count; at++) {
		const struct cell *one = &a->blocks[shelf->blocks[at]];
		const struct cell *next = &a->blocks[shelf->blocks[at + 1]];
		int64_t grows = one->after >= 0 && !a->blocks[one->after].mapped
		                        ? a->blocks[one->after].bytes
		                        : 0;
		int64_t other = next->after >= 0 && !a->blocks[next->after].mapped
		                        ? a->blocks[next->after].bytes
		                        : 0;
		if (!one->expandable || next->bytes + other >= one->bytes + grows)
			break;
		found = shelf->blocks[at + 1];
	}
	if (bytes < a->rules.max_split && a->blocks[found].bytes >= a->rules.max_split)
		return -1;
	if (bytes >= a->rules.max_split &&
	    a->blocks[found].bytes >= bytes + a->rules.max_non_split_rounding)
		return -1;
	return found;
}

/* ---- giving back ------------------------------------------------------------------------ */

static void unmap(struct allocator *a, int32_t number)
{
	struct cell *block = &a->blocks[number];
	int64_t page =
	        (a->pools[block->pool].small ? SMALL_SEGMENT_MIB : LARGE_SEGMENT_MIB) *
	        MIB;
	/* Pages are counted from the beginning of the stretch. */
	int64_t base = block->address - (block->address - STRETCH) % (2 * STRETCH);
	int64_t from = base + (block->address - base + page - 1) / page * page;
	int64_t to = base + (block->address + block->bytes - base) / page * page;

	if (to <= from)
		return;
	blocks_pick_up(a, number);
	if (to < block->address + block->bytes) {
		blocks_put_back(a, blocks_cut(a, number, to - block->address));
		block = &a->blocks[number];
	}
	if (from > block->address) {
		int32_t rest = blocks_cut(a, number, from - block->address);
		blocks_put_back(a, number);
		number = rest;
	}
	a->blocks[number].mapped = false;
	a->reserved -= to - from;
	blocks_put_back(a, blocks_join(a, number));
}

/* A free segment, off its shelf, to the device. */
static void give_segment(struct allocator *a, int32_t number)
{
	const struct cell *block = &a->blocks[number];

	a->reserved -= block->bytes;
	if (!a->told)
		space_give(&a->space, block->address, block->bytes);
	blocks_drop(a, number);
}

/* Is this block a segment of its own? */
static bool whole_segment(const struct cell *block)
{
	return !block->expandable && block->before < 0 && block->after < 0;
}

void allocator_empty_cache(struct allocator *a)
{
	for (size_t p = 0; p < a->pool_count; p++) {
		struct shelf *shelf = &a->pools[p].free;
		size_t count = shelf->count;
		int32_t *all = allocate((count + 1) * sizeof(*all));
		if (count)
			memcpy(all, shelf->blocks, count * sizeof(*all));
		for (size_t i = 0; i < count; i++) {
			struct cell *block = &a->blocks[all[i]];
			if (block->expandable) {
				unmap(a, all[i]);
			} else if (whole_segment(block)) {
				blocks_pick_up(a, all[i]);
				give_segment(a, all[i]);
			}
		}
		free(all);
	}
}

/* With max_split_size: the smallest free block that is enough, or the oversized ones that make
 * room, the largest first. Source: release_available_cached_blocks. */
static bool give_oversized(struct allocator *a, int32_t pool, int64_t bytes)
{
	struct shelf *shelf = &a->pools[pool].free;
	int64_t wanted = bytes < a->rules.max_split ? a->rules.max_split : bytes,
	        freed = 0;
	size_t at = blocks_place(a, shelf, wanted, 0);

	if (a->rules.max_split == INT64_MAX)
		return false;
	while (freed < wanted && shelf->count) {
		int32_t number;
		if (at >= shelf->count)
			at = shelf->count - 1;
		number = shelf->blocks[at];
		if (a->blocks[number].bytes < a->rules.max_split ||
		    !whole_segment(&a->blocks[number]))
			break;
		freed += a->blocks[number].bytes;
		blocks_take_out(shelf, at);
		give_segment(a, number);
	}
	return freed >= wanted;
}

/* Bytes that are reserved above garbage_collection_threshold; 0 where nothing is collected. */
static int64_t above_threshold(const struct allocator *a)
{
	int64_t threshold = whole_of(a->rules.collect * (double)a->rules.allowed);

	return threshold > 0 ? a->reserved - threshold : 0;
}

/* The free segments of the large pools: how many, and the sum of their ages. */
static int64_t count_collectable(const struct allocator *a, int64_t *ages)
{
	int64_t count = 0;

	*ages = 0;
	for (size_t p = 0; p < a->pool_count; p++) {
		const struct shelf *shelf = &a->pools[p].free;
		for (size_t i = 0; !a->pools[p].small && i < shelf->count; i++) {
			const struct cell *block = &a->blocks[shelf->blocks[i]];
			if (!whole_segment(block))
				continue;
			*ages += a->large_requests - block->since;
			count++;
		}
	}
	return count;
}

/* Gives back the free segments of the large pools that are at least as old as the average one;
 * the bytes. */
static int64_t give_aged(struct allocator *a, double age)
{
	int64_t given = 0;

	for (size_t p = 0; p < a->pool_count; p++) {
		struct shelf *shelf = &a->pools[p].free;
		for (size_t i = 0; !a->pools[p].small && i < shelf->count;) {
			int32_t number = shelf->blocks[i];
			const struct cell *block = &a->blocks[number];
			if (!whole_segment(block) ||
			    (double)(a->large_requests - block->since) < age) {
				i++;
				continue;
			}
			given += block->bytes;
			blocks_take_out(shelf, i);
			give_segment(a, number);
		}
	}
	return given;
}

/* With garbage_collection_threshold and a memory fraction: before the device is asked, what lay
 * idle longest goes back, until what is above the threshold is given back.
 * Source: garbage_collect_cached_blocks. */
static void collect(struct allocator *a)
{
	int64_t wanted = above_threshold(a), ages, count;

	while (wanted > 0 && (count = count_collectable(a, &ages)))
		wanted -= give_aged(a, (double)ages / (double)count);
}

/* ---- the door --------------------------------------------------------------------------- */

/* What requests of this size are rounded up to multiples of, in bytes. */
static int64_t part_of(const struct rules *rules, int64_t bytes)
{
	int log = 0, divisions;
	int64_t power = 1;

	while (power * 2 <= bytes && log < 62) {
		power *= 2;
		log++;
	}
	/* The table begins at 1 MiB and ends at 64 GiB. */
	divisions = rules->roundup_divisions[log < 20 ? 0 : log > 35 ? 15 : log - 20];
	if (divisions <= 1 || bytes <= LEAST * (int64_t)divisions)
		return LEAST;
	return power > divisions ? power / divisions : 1;
}

int64_t allocator_round(const struct rules *rules, int64_t bytes)
{
	int64_t part = part_of(rules, bytes);

	if (bytes < LEAST)
		return LEAST;
	return (bytes + part - 1) / part * part;
}

int64_t allocator_asked(const struct rules *rules, int64_t block)
{
	int64_t over = block > 0 ? block % part_of(rules, block) : 0;

	return over <= SMALL_MIB * MIB ? block - over : block;
}

enum gives allocator_gives(struct allocator *a, int64_t bytes, int stream)
{
	int64_t size = allocator_round(&a->rules, bytes);
	int32_t pool = blocks_pool(a, stream, size <= SMALL_MIB * MIB);
	int64_t ages;

	if (best_fit(a, pool, size) >= 0)
		return GIVES_NOTHING;
	if (above_threshold(a) > 0 && count_collectable(a, &ages))
		return GIVES_AGED;
	return segment_size(size) > a->capacity - a->reserved ? GIVES_LACKING
	                                                      : GIVES_NOTHING;
}

int32_t allocator_take(struct allocator *a, int64_t bytes, int stream)
{
	int64_t size = allocator_round(&a->rules, bytes);
	int32_t pool = blocks_pool(a, stream, size <= SMALL_MIB * MIB);
	int32_t found;

	a->large_requests += !a->pools[pool].small;
	found = best_fit(a, pool, size);
	if (found >= 0)
		blocks_pick_up(a, found);
	else
		collect(a);
	if (found < 0)
		found = new_segment(a, pool, size);
	if (found < 0 && give_oversized(a, pool, size))
		found = new_segment(a, pool, size);
	if (found < 0) {
		a->retries++;
		allocator_empty_cache(a);
		found = new_segment(a, pool, size);
	}
	if (found < 0)
		return -1;
	if (worth_a_cut(a, &a->blocks[found], size))
		blocks_put_back(a, blocks_cut(a, found, size));
	a->blocks[found].used = true;
	a->allocated += a->blocks[found].bytes;
	return found;
}

void allocator_give(struct allocator *a, int32_t number)
{
	a->allocated -= a->blocks[number].bytes;
	a->blocks[number].used = false;
	blocks_put_back(a, blocks_join(a, number));
}

int64_t allocator_reserved(const struct allocator *a)
{
	return a->reserved;
}

int64_t allocator_allocated(const struct allocator *a)
{
	return a->allocated;
}

int64_t allocator_retries(const struct allocator *a)
{
	return a->retries;
}

int64_t allocator_block_bytes(const struct allocator *a, int32_t block)
{
	return a->blocks[block].bytes;
}

int32_t allocator_take_near(struct allocator *a, int64_t bytes, int stream,
                            int64_t wish)
{
	int32_t block;

	a->wish = wish;
	block = allocator_take(a, bytes, stream);
	a->wish = -1;
	return block;
}

int32_t allocator_take_at(struct allocator *a, int64_t bytes, int stream,
                          int64_t address)
{
	int64_t next = a->next_address;
	int32_t block;

	a->told = true;
	a->next_address = address;
	block = allocator_take(a, bytes, stream);
	a->next_address = next;
	return block;
}

int64_t allocator_address(const struct allocator *a, int32_t block)
{
	return a->blocks[block].address;
}
