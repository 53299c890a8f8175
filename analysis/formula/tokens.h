/* tokens.h - what all formulas of the activations are made with; for these files alone. */
#ifndef TIDEMARK_ANALYSIS_TOKENS_H
#define TIDEMARK_ANALYSIS_TOKENS_H

#include "terms.h"

struct context {
	const struct model *model;
	const struct shape *shape;
	const struct training *training;
	struct formula *formula;
	int64_t tokens; /* batch x seq */
	int64_t wide;   /* bytes of what a matmul gives */
	int64_t stream; /* bytes of the residual stream */
};

static inline int64_t product(struct context *c, int64_t a, int64_t b)
{
	return formula_product(c->formula, a, b);
}

/* count x tokens x bytes; NULL and no term where there is nothing. */
struct formula_term *per_token(struct context *c, int64_t count, int64_t bytes,
                               const char *source, enum term_id id);

/* The 16-bit copies of weights that autocast makes. */
void weight_copies(struct context *c);

/* Layers recomputed together, and inputs kept instead of everything else. */
void checkpoint_segments(const struct context *c, int64_t *kept, int64_t *together);
void checkpoint_inputs(struct context *c, int64_t kept, int64_t bytes,
                       const char *source);

/* The terms from this one on are alive around the peak alone. */
void mark_temporary(struct context *c, int from);

#endif
