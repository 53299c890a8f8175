/* now.h - where a living run is just now, asked of its ring by the library. */
#ifndef TIDEMARK_ANALYSIS_NOW_H
#define TIDEMARK_ANALYSIS_NOW_H

#include <stddef.h>

enum glance {
	GLANCE_FAILED = -1, /* the text says why */
	GLANCE_LIVES = 0,   /* the run goes on */
	GLANCE_UNKNOWN = 1, /* whether it does cannot be told from here */
	GLANCE_ENDED = 2,   /* its end is in the trace */
	GLANCE_KILLED = 3,  /* its process is gone without an end */
};

enum { GLANCE_TEXT = 32 << 10 }; /* room for a text, bytes */

/* tidemark_glance() of the library, in a child process. text: that of the last look at this
 * trace, or ""; becomes this look's (hooks/tidemark.h tells its lines). Changes nothing. */
enum glance glance_at(const char *library, const char *trace, char text[GLANCE_TEXT]);

#endif
