/* segments.h - the device memory that PyTorch's allocator had taken at one instant, and
 * where in it the live blocks lay. */
#ifndef TIDEMARK_ANALYSIS_SEGMENTS_H
#define TIDEMARK_ANALYSIS_SEGMENTS_H

#include "live.h"
#include "moment.h"

struct segment {
	int64_t address, bytes;
	int64_t piece; /* of an expandable one: bytes of each of its pieces; else 0 */
	int64_t used;  /* bytes of live blocks in it */
	int64_t hole;  /* its largest piece without a block */
	size_t first, blocks; /* its blocks in segments->blocks */
};

enum segments_state {
	SEGMENTS_EXACT,   /* every block lies in one, and they add up to reserved */
	SEGMENTS_PIECES,  /* pieces of physical memory whose address was not recorded */
	SEGMENTS_INEXACT, /* they don't add up: a folded step, or memory of others */
	SEGMENTS_NONE,    /* none were recorded */
};

extern const char *const segments_states[];

struct segments {
	enum segments_state state;
	bool expandable;      /* some can grow: PyTorch's expandable segments */
	struct segment *list; /* by address */
	size_t count;
	struct alive *blocks; /* by address */
	size_t block_count, block_room;
	int64_t bytes;      /* of all segments in the list */
	int64_t rounding;   /* inside blocks: what they hold beyond their request */
	int64_t free_whole; /* in segments without any block */
	int64_t free_split; /* between the blocks of the others */
	int64_t others; /* taken in this process by others than PyTorch's allocator */
};

void segments_load(struct trace *trace, const struct moment *moment,
                   struct segments *segments);

/* One segment of each row of pieces that lie side by side in a list in order of address, as
 * an expandable segment grows; used and free bytes are not looked at. Returns how many. */
size_t segments_join(struct segment *list, size_t count);

void segments_free(struct segments *segments);

/* The largest hole that could take a request: small and large ones have segments of
 * their own. -1 where holes are not known. */
int64_t segments_hole(const struct segments *segments, int64_t request);

/* The largest hole in segments that hold blocks; empty segments do not count. */
int64_t segments_largest_between(const struct segments *segments);

/* The largest of all holes; -1 where they are not known. */
int64_t segments_largest_hole(const struct segments *segments);

/* What PyTorch's allocator asks the device for when no hole takes a request. Source:
 * get_allocation_size in c10/cuda/CUDACachingAllocator.cpp. */
int64_t segment_size(int64_t request);

#endif
