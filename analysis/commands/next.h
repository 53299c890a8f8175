/* next.h - what to type next, below an answer about a trace. */
#ifndef TIDEMARK_ANALYSIS_NEXT_H
#define TIDEMARK_ANALYSIS_NEXT_H

#include <stdio.h>

#include "trace.h"

/* "next  tidemark CMD FILE" lines, the file quoted as a shell needs it; second may be
 * NULL. */
void next_commands(const struct trace *trace, FILE *out, const char *first,
                   const char *second);

/* The same for a file, or a folder, that is not open. */
void next_commands_for(const char *file, FILE *out, const char *first,
                       const char *second);

#endif
