/* disagreement.h - whether a run's peak is what the formula expects, for `report`. */
#ifndef TIDEMARK_ANALYSIS_DISAGREEMENT_H
#define TIDEMARK_ANALYSIS_DISAGREEMENT_H

#include "trace.h"

struct disagreement {
	const struct device *device; /* that of the highest peak */
	int64_t step, bytes;         /* of the peak; by how much the formula is away */
	char *text;                  /* the caller's */
};

/* false: they agree, or what was trained is not known well enough to say. */
bool disagreement_find(struct trace *trace, const struct device *devices, size_t count,
                       struct disagreement *found);

#endif
