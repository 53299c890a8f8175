/* maxima.h - the most that each bucket ever held, each at a time of its own. */
#ifndef TIDEMARK_MAXIMA_H
#define TIDEMARK_MAXIMA_H

#include "trace.h"

struct maximum {
	int64_t bytes, step, phase; /* step -1: it never held anything */
};

struct maxima {
	struct maximum of[BUCKETS];
	bool thinned; /* steps of which nothing was kept are left out: at least so much */
};

void maxima_load(struct trace *trace, int64_t device, struct maxima *maxima);

#endif
