/* swelling.h - one block that is made anew, larger each time, at one line: torch.cat of all there
 * was and what is new. */
#ifndef TIDEMARK_ANALYSIS_SWELLING_H
#define TIDEMARK_ANALYSIS_SWELLING_H

#include "script.h"
#include "site.h"

struct swelling {
	int32_t newest; /* the piece; -1: nothing swells */
	int64_t bytes;  /* of it */
	int64_t rate;   /* by how much it is larger than the one before */
	int64_t times;  /* how often it was made */
};

/* The largest one among what is alive at the end, and what was refused. */
void swelling_find(const struct places *places, const struct script *script,
                   struct swelling *swelling);

#endif
