/* recording.h - what a trace has of one device, as rows in memory. For script.c alone. */
#ifndef TIDEMARK_ANALYSIS_RECORDING_H
#define TIDEMARK_ANALYSIS_RECORDING_H

#include "script.h"

struct row {
	struct piece piece;
	int64_t born_step, born, died_step, died;
	int32_t made; /* the piece that stands for it now; -1 */
};

struct number {
	int64_t step, pattern, events;
	bool complete, thinned;
	bool told; /* false: equal to those around it; only what it leaves alive is told */
};

struct pending { /* memory was given back to the device before this event */
	int64_t step, ordinal;
};

struct recording {
	struct trace *trace;
	const struct device *device;
	struct row *rows;
	size_t row_count, row_room;
	struct number *steps;
	size_t step_count, step_room;
	size_t first;     /* the step from which on a long run is told */
	int32_t *by_born; /* rows, by step and event of birth */
	int32_t *by_died; /* and of death */
	struct pending *pending;
	size_t pending_count, pending_room;
};

/* upto: the last step that counts, or -1. */
void recording_load(struct trace *trace, const struct device *device, int64_t upto,
                    struct recording *recording);
void recording_free(struct recording *recording);

/* The first place in an order (by_born, by_died) of a step. */
size_t recording_first(const struct recording *recording, bool death, int64_t step);

#endif
