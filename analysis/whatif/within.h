/* within.h - what grows inside one step: a loop whose turns keep what they make. */
#ifndef TIDEMARK_ANALYSIS_WITHIN_H
#define TIDEMARK_ANALYSIS_WITHIN_H

#include "site.h"
#include "trace.h"

struct within {
	int64_t step, turns; /* turns 0: nothing grows inside a step */
	int64_t kept, rate;  /* bytes, and bytes a turn */
	int64_t site;        /* of what a turn leaves behind last */
	bool gradients;      /* it is what autograd saves */
	bool refused;        /* the step ended in a refusal */
	int64_t full;        /* the turn that would not fit any more; -1: not known */
	int64_t swells; /* bytes of one block that is made anew, larger each time; 0 */
	int64_t swells_by, swells_site; /* bytes each time; its place */
};

/* The newest step that has such a loop. What a backward after the loop gives back is no leak,
 * nor is what an earlier complete step did as well. */
void within_find(struct trace *trace, const struct places *places,
                 const struct device *device, struct within *within);

#endif
