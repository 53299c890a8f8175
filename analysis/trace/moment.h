/* moment.h - an instant of a run on one device, and the totals that held then. */
#ifndef TIDEMARK_ANALYSIS_MOMENT_H
#define TIDEMARK_ANALYSIS_MOMENT_H

#include "trace.h"

struct moment {
	const struct device *device;
	struct step step;
	int64_t ordinal; /* after this event of the step; -1: as the step began */
	int64_t time_ns;
	int64_t latest_ns; /* what happened in the step up to then counts too; or -1 */
	int64_t phase;
	int64_t allocated;
	int64_t reserved; /* -1: not known, as the next two */
	int64_t used, total;
};

/* Which instant somebody asks for. */
enum moment_kind { MOMENT_PEAK, MOMENT_OOM, MOMENT_STEP, MOMENT_TIME };
struct wish {
	enum moment_kind kind;
	int64_t number; /* the step, or the time in nanoseconds; -1: any */
};

/* "peak", "oom", "step:N", "1.5s", "412ms"; NULL is the peak. step (or -1) is --step.
 * Ends the program with status 2 for anything else. */
struct wish moment_parse(const char *text, int64_t step);

/* false: there is no such instant on this device. */
bool moment_find(struct trace *trace, const struct device *device,
                 const struct wish *wish, struct moment *moment);

/* A line for the screen where no device has that instant. */
const char *moment_missing(const struct wish *wish);

/* The instant before an OOM of the table `oom`. */
struct moment moment_of_oom(struct trace *trace, const struct device *device,
                            int64_t id);

#endif
