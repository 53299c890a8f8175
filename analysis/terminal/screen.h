/* screen.h - stdout of an answer, collected first: an error halfway leaves no half. */
#ifndef TIDEMARK_ANALYSIS_SCREEN_H
#define TIDEMARK_ANALYSIS_SCREEN_H

#include <stdio.h>

/* Everything that is printed to it reaches stdout at screen_close(). */
FILE *screen_open(void);

/* 0, or STATUS_NO with a line on stderr where stdout takes no more (a full disk). A
 * reader that went away, as in `tidemark report | head`, is no error. */
int screen_close(FILE *out);

/* The same check for what was printed to stdout directly. */
int screen_flush(void);

#endif
