/* differ.h - what was different in a step that ran out of memory, beside the one before. */
#ifndef TIDEMARK_ANALYSIS_DIFFER_H
#define TIDEMARK_ANALYSIS_DIFFER_H

#include "group.h"
#include "oom.h"

struct difference {
	int64_t bytes;                    /* more than there; negative: less */
	const struct group *here, *there; /* NULL where there was nothing */
};

struct differences {
	struct differing *storage;
	struct difference *list; /* the largest first */
	size_t count;
	int64_t allocated; /* in that step, where this one asked */
};

/* Compares what was alive with the same instant of oom->forecast.step. Empty where there
 * is no such step. */
void differences_make(struct trace *trace, const struct places *places,
                      const struct oom *oom, struct differences *differences);
void differences_free(struct differences *differences);

#endif
