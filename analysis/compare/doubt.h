/* doubt.h - why a trace does not tell the whole of a run. */
#ifndef TIDEMARK_ANALYSIS_DOUBT_H
#define TIDEMARK_ANALYSIS_DOUBT_H

#include "trace.h"

/* Why the run may have needed more than its trace shows: it goes on, it was killed, it failed, it
 * ran out of memory, events were lost. Half a sentence ("the run was killed"), the caller's; NULL
 * where the trace is whole. */
char *doubt_of(struct trace *trace);

#endif
