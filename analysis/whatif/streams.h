/* streams.h - which pieces of a script came from one stream. For script.c alone. */
#ifndef TIDEMARK_ANALYSIS_STREAMS_H
#define TIDEMARK_ANALYSIS_STREAMS_H

#include "script.h"

/* Sets the pieces' streams. The first `exact` acts are of steps that have rows of their own:
 * there the pieces' addresses are those of the run. */
void streams_find(struct trace *trace, const struct device *device,
                  const struct rules *rules, struct script *script, size_t exact);

#endif
