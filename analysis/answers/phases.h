/* phases.h - which phase a step was in, column by column of a chart. */
#ifndef TIDEMARK_ANALYSIS_PHASES_H
#define TIDEMARK_ANALYSIS_PHASES_H

#include "chart.h"
#include "replay.h"

struct phases {
	int64_t column[CHART_COLUMNS]; /* the phase that lasted longest in it */
	char starts[CHART_COLUMNS];    /* 1: another phase than in the column before */
	bool seen[PHASES];             /* happened at all, if too short for a column */
};

/* From the spans of the step; from its events where it has none. */
void phases_load(struct trace *trace, const struct step *step,
                 const struct event *events, size_t count, int columns,
                 struct phases *phases);

/* The axis of a chart, and names under it. */
void phases_print(const struct trace *trace, const struct chart *chart,
                  const struct phases *phases, FILE *out);

#endif
