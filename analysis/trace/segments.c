/* segments.c - the device memory that PyTorch's allocator had taken at one instant, and
 * where in it the live blocks lay.
 *
 * PyTorch takes segments with cudaMalloc and cuts blocks out of them; a segment is given
 * back only when no block is left in it. What other libraries take with the same call is
 * told apart by arithmetic: PyTorch's sizes are multiples of 2 MiB, hold its blocks and
 * add up to what it calls reserved.
 * Called from: advice/, answers/, commands/, plan/, reconcile/, whatif/. */
#include "segments.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "trace_queries.h"

#define MIB ((int64_t)1 << 20)
enum { SMALL_MIB = 2 }; /* a segment of this size serves requests up to 1 MiB only */

const char *const segments_states[] = {"exact", "pieces", "inexact", "none"};

int64_t segment_size(int64_t request)
{
	if (request <= MIB)
		return SMALL_MIB * MIB;
	if (request < 10 * MIB)
		return 20 * MIB;
	return (request + 2 * MIB - 1) / (2 * MIB) * (2 * MIB);
}

static int by_address(const void *left, const void *right)
{
	int64_t a = ((const struct segment *)left)->address;
	int64_t b = ((const struct segment *)right)->address;
	return a < b ? -1 : a > b;
}

static int block_order(const void *left, const void *right)
{
	int64_t a = ((const struct alive *)left)->block.address;
	int64_t b = ((const struct alive *)right)->block.address;
	return a < b ? -1 : a > b;
}

static void keep_block(void *context, const struct alive *alive)
{
	struct segments *segments = context;

	segments->blocks = grow(segments->blocks, segments->block_count,
	                        &segments->block_room, sizeof(*segments->blocks));
	segments->blocks[segments->block_count++] = *alive;
	if (alive->requested >= 0)
		segments->rounding += alive->block.bytes - alive->requested;
}

/* Bytes of pieces that have no address. */
static int64_t read_segments(struct trace *trace, const struct moment *moment,
                             struct segments *segments)
{
	int64_t homeless = 0;
	size_t room = 0;
	struct rows *rows =
	        db_rows(trace->db, sql_segments, "iiii", moment->device->id,
	                moment->step.id, moment->ordinal, moment->latest_ns);
	while (rows_next(rows)) {
		bool piece = rows_number(rows, 2);
		segments->expandable = segments->expandable || piece;
		if (rows_null(rows, 0)) {
			homeless += rows_number(rows, 1);
			continue;
		}
		segments->list = grow(segments->list, segments->count, &room,
		                      sizeof(*segments->list));
		segments->list[segments->count++] =
		        (struct segment){.address = rows_number(rows, 0),
		                         .bytes = rows_number(rows, 1),
		                         .piece = piece ? rows_number(rows, 1) : 0};
	}
	return homeless;
}

/* Both lists are in order of address. The blocks that lie in no segment are counted. */
static size_t place_blocks(struct segments *segments)
{
	size_t at = 0, outside = 0;

	for (size_t s = 0; s < segments->count; s++) {
		struct segment *segment = &segments->list[s];
		int64_t end = segment->address + segment->bytes, from;

		for (; at < segments->block_count &&
		       segments->blocks[at].block.address < segment->address;
		     at++)
			outside++;
		from = segment->address;
		segment->first = at;
		segment->hole = segment->blocks = 0;
		segment->used = 0;
		for (; at < segments->block_count &&
		       segments->blocks[at].block.address < end;
		     at++) {
			const struct block *block = &segments->blocks[at].block;
			int64_t hole = block->address - from;
			outside += hole < 0 || block->address + block->bytes > end;
			segment->hole = hole > segment->hole ? hole : segment->hole;
			segment->used += block->bytes;
			segment->blocks++;
			from = block->address + block->bytes;
		}
		if (end - from > segment->hole)
			segment->hole = end - from;
	}
	return outside + segments->block_count - at;
}

static void drop(struct segments *segments, size_t at)
{
	segments->bytes -= segments->list[at].bytes;
	segments->others += segments->list[at].bytes;
	memmove(&segments->list[at], &segments->list[at + 1],
	        (--segments->count - at) * sizeof(*segments->list));
}

/* While there is more than PyTorch says it has, what holds none of its blocks is
 * somebody else's: odd sizes first. */
static void drop_others(struct segments *segments, int64_t reserved)
{
	for (int odd = 1; odd >= 0; odd--) {
		for (size_t i = segments->count; i-- > 0;) {
			const struct segment *segment = &segments->list[i];
			if (segments->bytes <= reserved)
				return;
			if (!segment->blocks &&
			    (segment->bytes % (2 * MIB) != 0) == odd &&
			    segments->bytes - segment->bytes >= reserved)
				drop(segments, i);
		}
	}
}

/* No address is taken twice: a trace that was finished after a crash may say so. */
static void drop_twins(struct segments *segments)
{
	size_t kept = 0;

	for (size_t i = 0; i < segments->count; i++)
		if (!kept ||
		    segments->list[i].address != segments->list[kept - 1].address)
			segments->list[kept++] = segments->list[i];
	segments->count = kept;
}

size_t segments_join(struct segment *list, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		struct segment *last = kept ? &list[kept - 1] : NULL;
		if (last && list[i].piece && last->piece == list[i].piece &&
		    last->address + last->bytes == list[i].address)
			last->bytes += list[i].bytes;
		else
			list[kept++] = list[i];
	}
	return kept;
}

static void add_up(struct segments *segments)
{
	for (size_t i = 0; i < segments->count; i++) {
		const struct segment *segment = &segments->list[i];
		if (segment->blocks)
			segments->free_split += segment->bytes - segment->used;
		else
			segments->free_whole += segment->bytes;
	}
}

void segments_load(struct trace *trace, const struct moment *moment,
                   struct segments *segments)
{
	int64_t homeless;
	size_t outside;

	*segments = (struct segments){0};
	live_each(trace, moment->device->id, &moment->step, moment->ordinal, keep_block,
	          segments);
	homeless = read_segments(trace, moment, segments);
	if (segments->block_count)
		qsort(segments->blocks, segments->block_count,
		      sizeof(*segments->blocks), block_order);
	if (segments->count)
		qsort(segments->list, segments->count, sizeof(*segments->list),
		      by_address);
	drop_twins(segments);
	segments->count = segments_join(segments->list, segments->count);
	for (size_t i = 0; i < segments->count; i++)
		segments->bytes += segments->list[i].bytes;
	outside = place_blocks(segments);
	drop_others(segments, moment->reserved);
	add_up(segments);
	if (homeless)
		segments->state = SEGMENTS_PIECES;
	else if (!segments->count)
		segments->state = SEGMENTS_NONE;
	else if (outside || segments->bytes != moment->reserved)
		segments->state = SEGMENTS_INEXACT;
	else
		segments->state = SEGMENTS_EXACT;
}

void segments_free(struct segments *segments)
{
	free(segments->list);
	free(segments->blocks);
	*segments = (struct segments){0};
}

int64_t segments_hole(const struct segments *segments, int64_t request)
{
	int64_t largest = 0;
	bool small = request <= MIB;

	if (segments->state != SEGMENTS_EXACT)
		return -1;
	for (size_t i = 0; i < segments->count; i++) {
		const struct segment *segment = &segments->list[i];
		int64_t bytes = segment->piece ? segment->piece : segment->bytes;
		if ((bytes <= SMALL_MIB * MIB) == small && segment->hole > largest)
			largest = segment->hole;
	}
	return largest;
}

int64_t segments_largest_between(const struct segments *segments)
{
	int64_t largest = 0;

	for (size_t i = 0; i < segments->count; i++)
		if (segments->list[i].blocks && segments->list[i].hole > largest)
			largest = segments->list[i].hole;
	return largest;
}

int64_t segments_largest_hole(const struct segments *segments)
{
	int64_t large = segments_hole(segments, INT64_MAX), small;
	small = segments_hole(segments, 1);
	return large > small ? large : small;
}
