/* recorded.h - the model, its dtypes and its optimizer as a trace recorded them. */
#ifndef TIDEMARK_ANALYSIS_RECORDED_H
#define TIDEMARK_ANALYSIS_RECORDED_H

#include "formula.h"
#include "trace.h"

/* Fills an empty model and sets what the run did in a training that has defaults:
 * dtypes of parameters, gradients and states, the optimizer. Batch and sequence are not
 * recorded. before: parameters given back until then do not count (FSDP's, once they are
 * sharded); NULL: until the last look at them. 0, or -1 with one sentence in why. Where the
 * model's config isn't understood there is no shape, and `shapeless` says the reason;
 * otherwise it is empty. */
int trace_model(struct trace *trace, const struct point *before, struct model *model,
                struct training *training, char *shapeless, size_t shapeless_size,
                char *why, size_t size);

#endif
