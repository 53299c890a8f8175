/* derived.h - the rest of a first step, from what is known without an earlier one. */
#ifndef TIDEMARK_ANALYSIS_DERIVED_H
#define TIDEMARK_ANALYSIS_DERIVED_H

#include "rest.h"

/* fixed: as rest_forecast has it; from: the first act of the step; zeroed_late: zero_grad() comes
 * between its forward and its backward. Appends what can be derived, and says what cannot. */
void derived_rest(struct trace *trace, const struct places *places,
                  const struct device *device, const bool *fixed, struct script *script,
                  int32_t from, bool zeroed_late, struct rest *rest);

#endif
