/* brief.h - the first lines about a run that ended out of memory, for other answers to begin
 * with. */
#ifndef TIDEMARK_ANALYSIS_BRIEF_H
#define TIDEMARK_ANALYSIS_BRIEF_H

#include <stdio.h>

#include "oom_answer.h"

/* How a run ended that ran out of memory and did not go on. */
struct brief {
	struct places places;
	struct growth growth;
	struct oom *ooms; /* NULL: it did not end so */
	size_t count;
	struct answer answer; /* about the last of them */
};

/* false, and nothing to be freed: the run ended otherwise, or goes on. */
bool brief_load(struct trace *trace, struct brief *brief);
void brief_free(struct brief *brief);

/* When, where, why, and the best lever. */
void brief_print(const struct brief *brief, FILE *out);

/* The value of `key`. */
void brief_json(const struct brief *brief, const char *key, struct json *json);

#endif
