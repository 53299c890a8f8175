/* growth.h - what stays alive from step to step, and more of it with every step. */
#ifndef TIDEMARK_ANALYSIS_GROWTH_H
#define TIDEMARK_ANALYSIS_GROWTH_H

#include "site.h"
#include "trace.h"

/* The blocks of one place that outlive their step; their shapes may differ. */
struct grower {
	int64_t site, bucket;        /* site: the first of those that are alike */
	int64_t bytes, blocks;       /* that are kept as the last complete step ends */
	int64_t grown, grown_blocks; /* in the steps that were compared */
	int64_t largest;             /* the largest block of them */
	int64_t since;               /* the step of the oldest */
	int64_t born_step, born;     /* of the newest */
	const struct tensor *owner;
};

struct growth {
	struct grower *list; /* what grew most first; only what grows */
	size_t count;
	int64_t from, to;                   /* the complete steps that were compared */
	int64_t bytes, grown, grown_blocks; /* sums of the list */
	int64_t level;  /* by how much more was allocated at the start of `to` */
	bool too_short; /* too few complete steps to tell */
	/* The newest of what a step leaves behind: who holds it holds what it was made
	 * from. -1: nothing grows. */
	int64_t root;
	int64_t *first_alike; /* by index of places->sites */
	const struct places *places;
};

/* Compares the second half of a run with itself: what fills a queue or makes optimizer
 * states in the first steps has stopped growing by then. upto: the last step that
 * counts, or -1. */
void growth_load(struct trace *trace, const struct places *places,
                 const struct device *device, int64_t upto, struct growth *growth);
void growth_free(struct growth *growth);

/* NULL where the blocks of this site don't grow. */
const struct grower *growth_find(const struct growth *growth, int64_t site,
                                 int64_t bucket);

/* Bytes a step; rounded down. */
int64_t growth_rate(const struct growth *growth);

#endif
