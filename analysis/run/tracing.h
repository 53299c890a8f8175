/* tracing.h - a program that is to be traced: where its trace goes, what its environment
 * holds, and which files came of it. For `run` and `simulate`. */
#ifndef TIDEMARK_ANALYSIS_TRACING_H
#define TIDEMARK_ANALYSIS_TRACING_H

#include <stdbool.h>
#include <stddef.h>

#include "options.h"

enum { TOKEN = 33 }; /* bytes of a run's token, with its end */

/* Where the trace goes, absolute: the program may change its folder. name NULL:
 * TIDEMARK_OUT, or the usual name. NULL, with a warning, where nothing can be written.
 * The caller's text. */
char *tracing_output(const char *name);

/* Ends the program with status 2 where --stacks is none of its words. */
void tracing_check(const struct options *options);

/* A line where a program is of a kind that nothing can be preloaded into. */
void tracing_warn(const char *program);

/* Sets the environment for a traced child and makes up the run's token. false, with a
 * warning: the program runs as it would without us. */
bool tracing_prepare(const struct options *options, const char *output_path,
                     char token[TOKEN]);

/* The trace files that a run left, known by its token. The caller's texts and array. */
size_t tracing_files(const char *path, const char *token, char ***files);

/* As short as it can be typed: without the current folder. Points into path. */
const char *tracing_shorter(const char *path);

#endif
