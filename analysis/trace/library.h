/* library.h - where libtidemark.so is, and what of it the command calls. */
#ifndef TIDEMARK_ANALYSIS_LIBRARY_H
#define TIDEMARK_ANALYSIS_LIBRARY_H

#include <stddef.h>

/* The absolute path of libtidemark.so: $TIDEMARK_LIBRARY, beside the command, where it
 * was installed. NULL with a sentence in why. The caller's text. */
char *library_find(char *why, size_t size);

/* Loads it in a child process, where a fault can't hurt. 0, or -1 and a sentence. */
int library_load(const char *library, char *why, size_t size);

enum recovery {
	RECOVERED = 0,       /* the trace is complete now */
	NOTHING_LEFT = 1,    /* it was complete already */
	STILL_RUNNING = 2,   /* the run goes on, and into was NULL */
	PERHAPS_RUNNING = 3, /* likewise, but it ran where we cannot look */
	NOT_RECOVERED = -1,  /* why says so */
};

/* tidemark_recover() of the library, in a child process. into NULL: finish the trace in
 * place; otherwise write a completed copy there. */
enum recovery library_recover(const char *library, const char *trace, const char *into,
                              char *why, size_t size);

#endif
