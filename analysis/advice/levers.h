/* levers.h - what would make a run fit, in bytes measured from its own trace. */
#ifndef TIDEMARK_ANALYSIS_LEVERS_H
#define TIDEMARK_ANALYSIS_LEVERS_H

#include "oom.h"

struct lever {
	const char *lever;    /* a word for programs: "smaller batch" */
	char *change, *basis; /* what to do, and how its bytes were found */
	int64_t saves;
	bool enough;
	int effort; /* -1: what the verdict calls for; 0: nothing is lost by it; 1: some */
	bool leak; /* stops what grows with every step */
};

struct levers {
	struct lever *list; /* enough first, then what costs nothing, then the most */
	size_t count, room;
};

void levers_make(struct trace *trace, const struct places *places,
                 const struct growth *growth, const struct oom *oom,
                 struct levers *levers);
void levers_free(struct levers *levers);

#endif
