/* alike.h - stacks of Python that read alike, line by line.
 *
 * The recorder knows a frame by its instruction, and one call of a line has another one once
 * CPython (3.11 and later) has specialised it, in the first steps of a run: what repeats would be two
 * places. Whoever compares places takes the first stack that reads the same. */
#ifndef TIDEMARK_ANALYSIS_ALIKE_H
#define TIDEMARK_ANALYSIS_ALIKE_H

#include <stdint.h>

#include "map.h"
#include "trace.h"

struct alike {
	struct map first; /* of stacks that are not the first of their kind */
};

void alike_load(struct trace *trace, struct alike *alike);
void alike_free(struct alike *alike);

/* The first stack that reads like this one; -1 stays -1. */
int64_t alike_stack(const struct alike *alike, int64_t stack);

#endif
