/* optimizer.h - what an optimizer's step keeps and holds meanwhile, on a tape. */
#ifndef TIDEMARK_ANALYSIS_OPTIMIZER_H
#define TIDEMARK_ANALYSIS_OPTIMIZER_H

#include "transformer.h"

bool optimizer_known(const struct training *training);

/* Clipping, where it is asked for, and the step; first: it makes the states. */
void optimizer_walk(struct transformer *model, bool first);

#endif
