/* steps.h - the peak of every step of a device. */
#ifndef TIDEMARK_ANALYSIS_STEPS_H
#define TIDEMARK_ANALYSIS_STEPS_H

#include "trace.h"

/* A bar for each step, or for a few of them where they are many; first, last and
 * highest named underneath. */
void steps_print(struct trace *trace, const struct device *device, int rows, FILE *out);
/* What each bucket held at most in the first and last step, and in which it held most. */
void steps_buckets(struct trace *trace, const struct device *device, FILE *out);

/* How the peaks of the complete steps behind the first go: the highest of the first half and of the
 * second half of them. false: fewer than four. */
struct steps_growth {
	int64_t early, late; /* bytes */
	int64_t late_step;
};
bool steps_growth(struct trace *trace, const struct device *device,
                  struct steps_growth *growth);

void steps_json(struct trace *trace, const struct device *device, struct json *json);

#endif
