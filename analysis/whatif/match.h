/* match.h - which pieces of two stretches of a script come from the same place. */
#ifndef TIDEMARK_ANALYSIS_MATCH_H
#define TIDEMARK_ANALYSIS_MATCH_H

#include "script.h"
#include "site.h"

/* How well two places must agree. A refused allocation is named in the middle of a throw: its
 * operator may be known less well. */
enum match_level {
	MATCH_LINE,   /* stack, module and operator */
	MATCH_STACK,  /* stack and module */
	MATCH_MODULE, /* module and operator, from whatever line */
	MATCH_LEVELS
};

/* 0: the place says nothing at this level. */
uint64_t match_key(const struct places *places, int64_t site, enum match_level level);

/* Does a library keep it from its first use on? Such a piece comes once: it has no counterpart. */
bool match_once(const struct piece *piece);

/* For the pieces [first, end) of one stretch: the piece of another one, [from, to), that is
 * its place's n-th too; -1 where there is none. The caller's array of end - first. */
int32_t *match_pieces(const struct places *places, const struct script *script,
                      int32_t first, int32_t end, int32_t from, int32_t to,
                      enum match_level level);

#endif
