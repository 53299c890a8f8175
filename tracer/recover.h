/* recover.h - finishing the trace of a run that is over, or a copy of one that goes on. */
#ifndef TIDEMARK_TRACER_RECOVER_H
#define TIDEMARK_TRACER_RECOVER_H

#include <stddef.h>

/* hooks/tidemark.h, tidemark_recover() tells the arguments and the answers. */
enum tmk_recovery {
	TMK_RECOVER_FAILED = -1, /* message says why */
	TMK_RECOVERED = 0,       /* the trace (or the copy) is complete */
	TMK_RECOVER_NOTHING = 1, /* it was complete */
	TMK_RECOVER_LIVES = 2,   /* the run goes on: ask for a copy */
	TMK_RECOVER_UNKNOWN = 3 /* whether it does cannot be told from here: likewise */
};
int tmk_recover(const char *trace, const char *into, char *message, size_t size);

#endif
