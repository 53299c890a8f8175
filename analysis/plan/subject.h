/* subject.h - the model that `plan` is asked about. */
#ifndef TIDEMARK_ANALYSIS_SUBJECT_H
#define TIDEMARK_ANALYSIS_SUBJECT_H

#include "plan.h"

/* Ends the program with status 2 and one sentence where there is no such model. */
void plan_subject(struct plan *plan, const struct options *options);

/* The model and the training of --trace. The same ends. */
void plan_from_trace(struct plan *plan, const struct options *options);

#endif
