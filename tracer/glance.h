/* glance.h - where a run is just now: what its ring holds that its trace has not yet. */
#ifndef TIDEMARK_TRACER_GLANCE_H
#define TIDEMARK_TRACER_GLANCE_H

#include <stddef.h>

/* hooks/tidemark.h, tidemark_glance() tells the arguments, the answers and the lines. */
enum tmk_glance {
	TMK_GLANCE_FAILED = -1, /* text holds one sentence */
	TMK_GLANCE_LIVES = 0,   /* the run goes on */
	TMK_GLANCE_UNKNOWN = 1, /* whether it does cannot be told from here */
	TMK_GLANCE_ENDED = 2,   /* its end is in the trace, or its ring is gone */
	TMK_GLANCE_KILLED = 3   /* its process is gone and has not said goodbye */
};
int tmk_glance(const char *trace, const char *seen, char *text, size_t size);

#endif
