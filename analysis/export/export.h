/* export.h - a trace in the formats of other tools. */
#ifndef TIDEMARK_ANALYSIS_EXPORT_H
#define TIDEMARK_ANALYSIS_EXPORT_H

#include <stdio.h>

#include "flow.h"
#include "trace.h"

/* What is asked for, and what came of it. */
struct export
{
	struct trace *trace;
	const struct device *devices; /* of the trace's, these */
	size_t device_count;
	int64_t step;       /* this one alone; -1: all */
	int64_t from, to;   /* the same as a range of steps */
	const char *table;  /* csv, parquet: which */
	const char *python; /* parquet: the one that writes; NULL: python3 */
	const char *path;   /* parquet: the file */
	FILE *out;
	int64_t events; /* rows, samples, events: what the format counts */
	struct flow_doubts doubts;
	int64_t unseen; /* bytes of the peaks whose blocks no row explains */
};

struct format {
	const char *name;   /* as --format has it */
	const char *suffix; /* of its file */
	const char *unit;   /* of `events`, in the singular */
	bool binary;
	bool tables; /* --table chooses one */
	void (*write)(struct export *export);
	const char *next; /* what to type next, with %s for the file; NULL: nothing */
};

/* NULL where there is no such format. */
const struct format *format_find(const char *name);

/* "memory_viz, perfetto, …" */
const char *format_names(void);

void export_memory_viz(struct export *export);
void export_parquet(struct export *export);
void export_perfetto(struct export *export);
void export_pprof(struct export *export);
void export_speedscope(struct export *export);
void export_csv(struct export *export);

/* true where a device of the trace, by its index, was asked for. */
bool export_wants(const struct export *export, int32_t device);

/* The trace's name without what it ends in, and a suffix. The caller's text. */
char *export_default(const struct trace *trace, const char *suffix);

/* Counts what the peak of a device (an index) holds and no row explains: blocks from before
 * tracing began. */
void export_unseen(struct export *export, const struct flow *flow, size_t device);

#endif
