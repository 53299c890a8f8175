/* tracing.h - a program that is to be traced: where its trace goes, what its environment
 * holds, and which files came of it. For `run` and `simulate`. */
#ifndef TIDEMARK_ANALYSIS_TRACING_H
#define TIDEMARK_ANALYSIS_TRACING_H

#include <stdbool.h>
#include <stddef.h>

#include "options.h"

enum { TOKEN = 33 }; /* bytes of a run's token, with its end */

/* Where the trace goes, absolute: the program may change its folder. name NULL:
 * TIDEMARK_OUT, or the usual name. Where nothing can be written: NULL, with a warning; where name
 * was given it ends the program with status 2. The caller's text. */
char *tracing_output(const char *name);

/* What the program's process says before it begins: which file its trace goes to. The library takes
 * another name where that one exists. only_other: says it only then. */
void tracing_announce(const char *path, bool only_other);

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
