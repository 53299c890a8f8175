/* turns.h - a loop inside one step: several forwards without a backward between them. */
#ifndef TIDEMARK_ANALYSIS_TURNS_H
#define TIDEMARK_ANALYSIS_TURNS_H

#include "script.h"
#include "site.h"

struct turns {
	int32_t *begin; /* the act with which each begins */
	size_t count;   /* fewer than 2: there is no loop */
	int64_t kept;   /* bytes of earlier turns that are alive at the end */
	int64_t rate;   /* of them, bytes a turn */
	int32_t newest; /* the piece that a turn leaves behind last; -1 */
	bool gradients; /* they are what autograd saves */
	bool losses; /* a turn makes a number that has a graph: a loss, most likely */
};

/* Of the pieces that are taken in the acts [from, to), after the last backward in them. */
void turns_find(const struct places *places, const struct script *script, int32_t from,
                int32_t to, struct turns *turns);
/* Of the pieces taken in [from, to): a turn begins with the first forward after a backward. */
void turns_of_backwards(const struct places *places, const struct script *script,
                        int32_t from, int32_t to, struct turns *turns);
void turns_free(struct turns *turns);

/* Can what is left of a piece's turn be something that nobody wanted to keep? */
bool turns_leaves(const struct piece *piece, int turn);

/* The turn that a piece was made in; -1. */
int turns_of(const struct turns *turns, const struct piece *piece);

#endif
