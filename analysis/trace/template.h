/* template.h - names of traces that hold %h, %p and %r: which files they have become. */
#ifndef TIDEMARK_ANALYSIS_TEMPLATE_H
#define TIDEMARK_ANALYSIS_TEMPLATE_H

#include <stdbool.h>

/* Does a name hold %h, %p or %r? */
bool template_is(const char *name);

/* A pattern for glob(): '*' for each of them. numbered: for "t-2.db", which the library takes
 * where there is a "t.db" already. The caller's. */
char *template_glob(const char *name, bool numbered);

/* The newest file of a pattern, by its own time or that of the log beside it; the caller's. NULL:
 * there is none. */
char *template_newest(const char *pattern);

#endif
