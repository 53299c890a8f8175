/* states.h - what each optimizer keeps for a weight: of one list for the formula, which adds it
 * up, and for reconcile, which looks for each tensor. */
#ifndef TIDEMARK_ANALYSIS_STATES_H
#define TIDEMARK_ANALYSIS_STATES_H

#include "formula.h"

enum state_kind {
	STATE_PLAIN, /* in the state's dtype */
	STATE_SMALL, /* in fp32: too small for 8 bits */
	STATE_BYTE,  /* one byte an element */
	STATE_SCALE  /* of a block of bytes: four bytes each */
};

struct state_piece {
	enum state_kind kind;
	int64_t elements,
	        copies; /* of one tensor, and how many such tensors there are */
};

enum { STATE_PIECES = 2 };

/* The tensors that an optimizer keeps for `weight` and its copies, elements of each; returns
 * how many kinds. Not the step counters, nor master weights.
 * Source: torch.optim; Dettmers et al. 2022 (arXiv:2110.02861), section 2.1, 8-bit states in
 * blocks (bitsandbytes: of 256) and none below 4,096 elements; Shazeer and Stern 2018
 * (arXiv:1804.04235), section 3: a row and a column; Jordan 2024: Muon, momentum alone for
 * hidden matrices; Chen et al. 2023 (arXiv:2302.06675): Lion, momentum alone. */
int states_of(enum optimizer optimizer, const struct weight *weight,
              struct state_piece piece[STATE_PIECES]);

#endif
