/* calls.h - the stack of an allocation: native frames down to Python, then Python's. */
#ifndef TIDEMARK_ANALYSIS_CALLS_H
#define TIDEMARK_ANALYSIS_CALLS_H

#include "site.h"

struct call {
	int64_t id; /* of its frame: equal for equal frames */
	bool native;
	char *function, *file; /* NULL where not known */
	int64_t line;          /* 0 where not known, as of every native frame */
};

/* Innermost first. Of a native stack, what lies outside Python's interpreter loop is left
 * out where there is a Python stack: that is the interpreter itself. The caller's. */
struct call *calls_load(struct trace *trace, const struct site *site, size_t *count);
void calls_free(struct call *calls, size_t count);

#endif
