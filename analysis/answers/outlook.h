/* outlook.h - when what grows from step to step fills the card. */
#ifndef TIDEMARK_ANALYSIS_OUTLOOK_H
#define TIDEMARK_ANALYSIS_OUTLOOK_H

#include "growth.h"

struct outlook {
	int64_t left; /* bytes of the device that the last complete step's peak left; -1: not known */
	int64_t full; /* the step that would not fit any more; -1: not known or never */
};

/* Looks at the peak of the last complete step, and around it at what the device had in use that
 * was not PyTorch's. What PyTorch keeps in its cache it would use first. */
struct outlook outlook_of(struct trace *trace, const struct device *device,
                          const struct growth *growth);

/* What a device had in use that was not PyTorch's, by its newest sample, bytes; -1: not known. */
int64_t outlook_outside(struct db *db, int64_t device);

#endif
