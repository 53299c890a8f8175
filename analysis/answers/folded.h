/* folded.h - what was alive at a peak as collapsed stacks, for flame graph programs. */
#ifndef TIDEMARK_ANALYSIS_FOLDED_H
#define TIDEMARK_ANALYSIS_FOLDED_H

#include <stdio.h>

#include "live.h"

/* One line a stack, outermost frame first: "device;main train.py:10;forward model.py:16;
 * activation BYTES". Lines are sorted; none has a ';' or a line end inside a frame. */
void folded_print(struct trace *trace, const char *device, const struct places *places,
                  const struct live *live, FILE *out);

#endif
