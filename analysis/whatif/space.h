/* space.h - the addresses that a device hands out. For allocator.c alone. */
#ifndef TIDEMARK_ANALYSIS_SPACE_H
#define TIDEMARK_ANALYSIS_SPACE_H

#include <stddef.h>
#include <stdint.h>

struct gap {
	int64_t at, bytes;
};

struct space {
	struct gap *
	        gaps; /* free stretches by address, never adjacent; the last has no end */
	size_t count, room;
	int64_t first; /* below it nothing was asked for yet; 0: nowhere */
};

/* Where so many bytes lie: at `wish`, if that is free (-1: no wish), else lowest; -1: nowhere,
 * which only sizes and addresses that no device has come to. */
int64_t space_take(struct space *space, int64_t bytes, int64_t wish);
void space_give(struct space *space, int64_t at, int64_t bytes);
void space_free(struct space *space);

#endif
