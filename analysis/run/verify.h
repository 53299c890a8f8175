/* verify.h - `oom --verify`: the recorded command, run again with each lever of the answer that
 * can be applied from outside, on a simulated card of the trace's size. */
#ifndef TIDEMARK_ANALYSIS_VERIFY_H
#define TIDEMARK_ANALYSIS_VERIFY_H

#include "levers.h"
#include "options.h"

/* Says what it is going to run, asks, runs, and writes what was seen into each lever's
 * `verified`. Ends the program with status 2 where it may not or cannot run anything. */
void verify_levers(struct trace *trace, const struct oom *oom, struct levers *levers,
                   const struct options *options);

#endif
