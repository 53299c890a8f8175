/* alive.h - rows of who was alive: one group of blocks each. */
#ifndef TIDEMARK_ANALYSIS_ALIVE_H
#define TIDEMARK_ANALYSIS_ALIVE_H

#include <stdio.h>

#include "group.h"

/* A table of the first `top` groups; by: what they were grouped by. */
void alive_print(struct trace *trace, const struct groups *groups, unsigned by,
                 size_t top, FILE *out);

/* One object of an array. */
void group_json(struct trace *trace, struct json *json, const struct group *group);

/* "fp32" for "float32". */
const char *short_type(const char *dtype);

#endif
