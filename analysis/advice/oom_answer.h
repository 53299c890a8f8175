/* oom_answer.h - what `tidemark oom` says of one refused allocation. */
#ifndef TIDEMARK_ANALYSIS_OOM_ANSWER_H
#define TIDEMARK_ANALYSIS_OOM_ANSWER_H

#include <stdio.h>

#include "differ.h"
#include "levers.h"

struct answer {
	struct trace *trace;
	const struct places *places;
	const struct growth *growth;
	const struct oom *oom;
	struct differences differences;
	struct levers levers;
};

void answer_make(struct trace *trace, const struct places *places,
                 const struct growth *growth, const struct oom *oom,
                 struct answer *answer);
void answer_free(struct answer *answer);

/* One page. top: rows of who was alive. */
void answer_print(const struct answer *answer, int64_t top, FILE *out);

/* One object of the array "events". */
void answer_json(const struct answer *answer, int64_t top, struct json *json);

/* The sentence that decides, with its figures; the caller's. */
char *verdict_text(const struct oom *oom);

#endif
