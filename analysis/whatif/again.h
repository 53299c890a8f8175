/* again.h - acts of a script that happen again: copied to its end. */
#ifndef TIDEMARK_ANALYSIS_AGAIN_H
#define TIDEMARK_ANALYSIS_AGAIN_H

#include "script.h"
#include "site.h"

struct again {
	const struct places *places;
	struct script *script;
	double scale;       /* of what grows with the batch */
	const bool *fixed;  /* by site's index in places: what does not; NULL */
	int32_t *stands_in; /* by piece: the one that stands for it at the end; -1 */
	struct heir *heirs; /* what was alive when the acts begin again, by place */
	size_t heir_count;
	bool only_forward; /* leave out what is taken in other phases */
	int32_t newest;    /* pieces from here on are not of the run any more */
	int32_t until; /* the end of the acts that are copied, in one call or several */
};

/* Before the first copy: what is alive at the script's end can be given back by it. */
void again_begin(const struct places *places, struct script *script,
                 struct again *again);
void again_end(struct again *again);

/* In the copy, `piece` is `stands_for`. */
void again_is(struct again *again, int32_t piece, int32_t stands_for);

/* Copies the acts [from, to). Weights and states that were made there and live on are not
 * made again. */
void again_copy(struct again *again, int32_t from, int32_t to);

/* The same; as the backward in them begins, gradients that were taken before the act `zeroed` are
 * let go of (zero_grad; -1: it is not called there). */
void again_copy_step(struct again *again, int32_t from, int32_t to, int32_t zeroed);

/* What zero_grad() lets go of: gradients that were taken before an act. */
void again_give_gradients(struct script *script, int32_t before);

#endif
