/* replay.h - the events of a step, in order, folded or not. */
#ifndef TIDEMARK_ANALYSIS_REPLAY_H
#define TIDEMARK_ANALYSIS_REPLAY_H

#include <stddef.h>
#include <stdint.h>

#include "trace.h"

struct event {
	int64_t ordinal, time_ns, bucket;
	int64_t bytes;  /* negative for a free */
	int32_t device; /* index into trace->devices; -1: of none of them */
	int32_t phase;
};

struct replay {
	int64_t pattern; /* of what is loaded; -1: nothing */
	struct event *events, *shifted;
	size_t count, room, shifted_room;
};

/* Events of the step, in its own time; valid until the next call. A run of steps with
 * one pattern reads the trace once. A thinned step has none. */
const struct event *replay_step(struct trace *trace, struct replay *replay,
                                const struct step *step, size_t *count);
void replay_free(struct replay *replay);

/* When something of a step's pattern happened in the step itself: moved to its start and
 * stretched to its length (ns since the run began). */
int64_t replay_time(const struct step *step, int64_t time_ns);

/* What is reserved on a device, as the allocator said whenever it changed. Asked in the
 * order of (step, ordinal). */
struct reserved {
	struct change {
		int64_t step, ordinal, bytes;
	} * changes;
	size_t count, at;
	int64_t now;
};
void reserved_load(struct trace *trace, int64_t device, struct reserved *reserved);
int64_t reserved_at(struct reserved *reserved, int64_t step, int64_t ordinal);
void reserved_free(struct reserved *reserved);

/* Allocated bytes of a device when a step began. */
int64_t replay_start(struct trace *trace, int64_t step, int64_t device);

#endif
