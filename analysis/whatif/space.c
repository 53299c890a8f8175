/* space.c - the addresses that a device hands out: what was given back is handed out again,
 * lowest first. PyTorch takes the lowest of free blocks that are equal, so that the order of
 * segments decides which one is cut.
 * Called from: allocator.c. */
#include "space.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"

enum { FIRST_ADDRESS = 1 << 30 }; /* where nothing is known of the device's */

static void insert(struct space *space, size_t at, struct gap gap)
{
	space->gaps = grow(space->gaps, space->count, &space->room, sizeof(gap));
	memmove(space->gaps + at + 1, space->gaps + at,
	        (space->count - at) * sizeof(gap));
	space->gaps[at] = gap;
	space->count++;
}

static void delete (struct space *space, size_t at)
{
	space->count--;
	memmove(space->gaps + at, space->gaps + at + 1,
	        (space->count - at) * sizeof(*space->gaps));
}

/* The first gap that begins behind an address. */
static size_t behind(const struct space *space, int64_t address)
{
	size_t low = 0, high = space->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (space->gaps[middle].at <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void begin_at(struct space *space, int64_t address)
{
	if (!space->first) {
		space->first = address;
		insert(space, 0, (struct gap){address, INT64_MAX - address});
	} else if (address < space->first) {
		space_give(space, address, space->first - address);
		space->first = address;
	}
}

int64_t space_take(struct space *space, int64_t bytes, int64_t wish)
{
	struct gap gap;
	size_t at = 0;
	int64_t from;

	if (wish > 0 || !space->first)
		begin_at(space, wish > 0 ? wish : FIRST_ADDRESS);
	if (wish > 0)
		at = behind(space, wish) -
		     1; /* the first gap begins at or below it, or none */
	if (wish > 0 && at < space->count &&
	    space->gaps[at].at + space->gaps[at].bytes - wish >= bytes) {
		from = wish;
	} else {
		for (at = 0; at < space->count && space->gaps[at].bytes < bytes;)
			at++;
		if (at == space->count)
			return -1;
		from = space->gaps[at].at;
	}
	gap = space->gaps[at];
	delete (space, at);
	if (gap.at + gap.bytes > from + bytes)
		insert(space, at,
		       (struct gap){from + bytes, gap.at + gap.bytes - from - bytes});
	if (from > gap.at)
		insert(space, at, (struct gap){gap.at, from - gap.at});
	return from;
}

void space_give(struct space *space, int64_t at, int64_t bytes)
{
	size_t i = behind(space, at);
	struct gap *before = i ? &space->gaps[i - 1] : NULL;
	struct gap *after = i < space->count ? &space->gaps[i] : NULL;

	if (before && before->at + before->bytes == at) {
		before->bytes += bytes;
		if (after && at + bytes == after->at) {
			before->bytes += after->bytes;
			delete (space, i);
		}
	} else if (after && at + bytes == after->at) {
		after->at = at;
		after->bytes += bytes;
	} else {
		insert(space, i, (struct gap){at, bytes});
	}
}

void space_free(struct space *space)
{
	free(space->gaps);
}
