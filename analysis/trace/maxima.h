/* maxima.h - the most that each bucket ever held, each at a time of its own. */
#ifndef TIDEMARK_ANALYSIS_MAXIMA_H
#define TIDEMARK_ANALYSIS_MAXIMA_H

#include "trace.h"

struct maximum {
	int64_t bytes;
	int64_t step;  /* -1: it never held anything */
	int64_t phase; /* -1: nor that, or it held it when its step began */
};

/* The name of the phase it was in, NULL for -1. */
const char *maximum_phase(const struct trace *trace, const struct maximum *maximum);

struct maxima {
	struct maximum of[BUCKETS];
	bool thinned; /* steps of which nothing was kept are left out: at least so much */
};

void maxima_load(struct trace *trace, int64_t device, struct maxima *maxima);

/* Visits every step in order with what each of BUCKETS held at most in it; of: NULL where
 * nothing was kept of a thinned step. */
typedef void maxima_visit(void *context, int64_t step, const struct maximum *of);
void maxima_each(struct trace *trace, int64_t device, maxima_visit *visit,
                 void *context);

#endif
