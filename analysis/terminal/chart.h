/* chart.h - a block chart with a byte scale at its left. */
#ifndef TIDEMARK_ANALYSIS_CHART_H
#define TIDEMARK_ANALYSIS_CHART_H

#include <stdint.h>
#include <stdio.h>

#include "term.h"

enum { CHART_COLUMNS = 200, CHART_LEFT = 12 }; /* CHART_LEFT: what the scale takes */

struct chart {
	int columns, rows;            /* rows: even */
	int64_t value[CHART_COLUMNS]; /* bytes; filled from below */
	int64_t line[CHART_COLUMNS];  /* bytes; drawn as a line above; 0: none */
	enum style style[CHART_COLUMNS];
};

/* Columns that fit beside the scale on this screen. */
int chart_width(void);

void chart_print(const struct chart *chart, FILE *out);

/* The axis under a chart, a tick in each column where starts[column] is not 0. */
void chart_axis(const struct chart *chart, const char *starts, FILE *out);

/* What the marks of a chart stand for: "█ allocated  ─ reserved". */
void chart_legend(const char *bars, const char *line, FILE *out);

/* The two ends of an axis, below it. */
void chart_ends(const struct chart *chart, const char *left, const char *right,
                FILE *out);

#endif
