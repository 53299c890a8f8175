/* measure.h - a plan, tried: the same training on a simulated card, for two steps. */
#ifndef TIDEMARK_ANALYSIS_MEASURE_H
#define TIDEMARK_ANALYSIS_MEASURE_H

#include "plan.h"

/* Fills plan->measured in. Ends the program with one sentence where nothing can be measured:
 * status 2 where it cannot be tried, 3 where the run failed or took too long. */
void measure_plan(struct plan *plan, const struct options *options);

#endif
