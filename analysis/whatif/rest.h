/* rest.h - what a run would still have asked for when it was refused: the rest of the step,
 * and the next one, put at the end of its script. */
#ifndef TIDEMARK_ANALYSIS_REST_H
#define TIDEMARK_ANALYSIS_REST_H

#include "script.h"
#include "site.h"

enum rest_kind {
	REST_UNKNOWN,   /* nothing tells */
	REST_LIKE_STEP, /* an earlier step of the same kind */
	REST_ITERATION, /* an earlier turn of a loop inside this step */
	REST_FORWARD, /* the same modules in an earlier step's forward; nothing after it */
	REST_DERIVED /* from parameters, what the forward saved, and the optimizer's class */
};

struct rest {
	enum rest_kind kind;
	int32_t like;  /* the step it is told from; -1 */
	double scale;  /* this step's sizes beside that one's */
	double trust;  /* of the device, up to which a fit is believed */
	int32_t first; /* the first act that is forecast */
	int32_t next; /* the first act of the next step or turn; -1: none is forecast */
	char why[160]; /* a sentence about what is not known, "" where all is */
};

/* Appends to the script. fixed: by the index of a site in places, what has a weight's shape and
 * does not grow with the batch. */
void rest_forecast(struct trace *trace, const struct places *places,
                   const struct device *device, const bool *fixed,
                   struct script *script, struct rest *rest);

#endif
