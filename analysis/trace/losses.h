/* losses.h - what the recorder lost, what disagreed, which signals it did not have. */
#ifndef TIDEMARK_ANALYSIS_LOSSES_H
#define TIDEMARK_ANALYSIS_LOSSES_H

#include "trace.h"

/* The trace was made of a memory snapshot, by `tidemark import`. */
bool trace_is_imported(struct trace *trace);

/* "torch 2.11.0" of a run's version; where it has none, why. The caller's. */
char *torch_text(struct trace *trace, const char *version);

struct losses {
	int64_t events;     /* that were lost */
	int64_t mismatches; /* events at which replayed sum and allocator disagreed */
	int64_t seen;       /* events in the trace, folded ones too */
};

struct losses losses_count(struct trace *trace);

/* Always says something, also that nothing was lost. */
void losses_print(struct trace *trace, FILE *out);
void losses_json(struct trace *trace, struct json *json); /* keys of the open object */

/* Those that are not live, with the reason; nothing where all are. */
void capabilities_print(struct trace *trace, FILE *out);
void capabilities_json(struct trace *trace, struct json *json);

#endif
