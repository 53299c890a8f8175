/* forecast.h - how much a step would still have needed when it ran out of memory, told
 * from the same step before it. */
#ifndef TIDEMARK_ANALYSIS_FORECAST_H
#define TIDEMARK_ANALYSIS_FORECAST_H

#include "moment.h"
#include "site.h"

struct forecast {
	int64_t step;   /* the earlier step it is told from; -1: there is none */
	double scale;   /* this step's tensors beside that one's */
	int64_t growth; /* bytes that this step would have grown by, request included */
	int64_t peak;   /* of that step, in its forward and backward */
	int64_t before; /* allocated in that step where this one asked */
	int64_t start;  /* allocated as that step began */
	int64_t ordinal; /* the event of that step that is this one's */
};

/* request bytes, by the place `site`. Without an earlier step growth is the request. */
struct forecast forecast_make(struct trace *trace, const struct places *places,
                              const struct moment *moment, int64_t site,
                              int64_t request);

#endif
