/* piece.h - one piece of memory in a script (script.h), and what kind of one it is. */
#ifndef TIDEMARK_ANALYSIS_PIECE_H
#define TIDEMARK_ANALYSIS_PIECE_H

#include <stdbool.h>
#include <stdint.h>

/* One block's life. Acts are positions in script->acts. */
struct piece {
	int64_t bytes;     /* as the allocator counted it */
	int64_t requested; /* what was asked for; -1: not known, then it is bytes */
	int64_t address; /* as recorded; of a folded step, its pattern's; -1: forecast */
	int32_t site;    /* id; -1: not known */
	int32_t step;    /* in which it was taken */
	int32_t taken, given; /* acts; given -1: never */
	int32_t ordinal; /* of its birth in its step (its pattern's numbers); -1: forecast */
	uint8_t bucket, phase; /* phase: in which it was taken */
	uint8_t phase_given;   /* in which it was given back; PHASE_OTHER where never */
	uint8_t stream;        /* a class of segments; 0 is the one that is used most */
};

/* What a forward or a backward made: neither weights, gradients and states nor anything of a
 * library's. */
bool piece_computed(const struct piece *piece);

/* Does a piece grow with the batch? What was computed, from data on to the backward. */
bool piece_scales(const struct piece *piece);

/* Bytes that were asked for; where that is not known, those of the block. */
int64_t piece_asked(const struct piece *piece);

#endif
