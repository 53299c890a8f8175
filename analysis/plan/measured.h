/* measured.h - what a run on a simulated card came to, to be shown beside the formula. The room
 * `measure` fills it in; `plan` prints it. */
#ifndef TIDEMARK_ANALYSIS_MEASURED_H
#define TIDEMARK_ANALYSIS_MEASURED_H

#include <stdbool.h>
#include <stdint.h>

#include "trace.h"

enum measured_fit {
	MEASURED_NO,
	MEASURED_YES,
	MEASURED_OPEN, /* between what lives and what is reserved: only a run can tell */
};

/* What the measurement says of one of the plan's cards. */
struct measured_card {
	enum measured_fit fit;
	char *where; /* of a run that ran out there; NULL */
};

struct measured {
	char *trace; /* the file that --output keeps; NULL */
	char *card;  /* whose properties the device had */
	char *model_class, *attention, *torch, *transformers;
	char *bound; /* "exact" or "lower", as `simulate` says it */
	int64_t milliseconds;
	int64_t parameters; /* a number of elements */

	/* Bytes of the tensors, all of a kind at once. */
	int64_t parameter, gradient, optimizer, buffer;
	/* The most that lived at one instant of a forward and backward besides them. */
	int64_t activation;

	/* When most was allocated. */
	int64_t allocated, step;
	char *phase;
	int64_t at_peak
	        [BUCKETS]; /* by the bucket of its blocks; their sum is allocated */

	int64_t reserved, context;   /* the most of each, once the model is built */
	struct measured_card *cards; /* one for each of the plan's */
};

#endif
