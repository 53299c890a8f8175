/* terms.h - what the terms of the formula are made with; for the formula's files alone. */
#ifndef TIDEMARK_ANALYSIS_TERMS_H
#define TIDEMARK_ANALYSIS_TERMS_H

#include "formula.h"

/* Products and sums that remember an overflow, and new terms. */
int64_t formula_product(struct formula *formula, int64_t a, int64_t b);
int64_t formula_sum(struct formula *formula, int64_t a, int64_t b);
struct formula_term *formula_term(struct formula *formula, enum formula_bucket bucket,
                                  int64_t bytes, const char *source, const char *name,
                                  ...) __attribute__((format(printf, 5, 6)));

/* The same for a term of terms.def. */
struct formula_term *formula_known_term(struct formula *formula,
                                        enum formula_bucket bucket, int64_t bytes,
                                        const char *source, enum term_id id);

/* ceil(elements * bits / 8), ceil(elements / block) */
int64_t formula_bits(struct formula *formula, int64_t elements, int bits);
static inline int64_t formula_blocks(int64_t elements, int64_t block)
{
	return elements / block + (elements % block != 0);
}

/* How a term is computed, in symbols and with the numbers put in. */
void formula_text(struct formula_term *term, const char *formula, const char *numbers,
                  ...) __attribute__((format(printf, 3, 4)));

struct digits {
	char s[32];
};
struct digits number(int64_t value);      /* "1,235,814,400" */
const char *width_text(enum dtype dtype); /* "2 B", "0.5 B" */

#endif
