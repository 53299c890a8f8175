/* page.h - one or more traces as a page that needs nothing but a browser. */
#ifndef TIDEMARK_ANALYSIS_PAGE_H
#define TIDEMARK_ANALYSIS_PAGE_H

#include <stdbool.h>
#include <stdio.h>

#include "trace.h"

/* false: this program was built without the page. */
bool page_is_there(void);

/* What comes before the first trace, one trace, and what comes after the last one; device: NULL
 * for all. The trace stays the caller's. */
void page_begin(FILE *out);
void page_trace(struct trace *trace, const char *device, bool first, FILE *out);
void page_end(FILE *out);

#endif
