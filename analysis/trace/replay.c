/* replay.c - the events of a step, in order, folded or not.
 *
 * A folded step has no rows of its own: it is its pattern's events, moved and stretched
 * to the step's own start and duration, on top of its own start_allocated.
 * Called from: advice/, commands/, export/, measure/, plan/, trace/. */
#include "replay.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "trace_queries.h"
#include "whole.h"

static int32_t device_index(const struct trace *trace, int64_t device)
{
	for (size_t i = 0; i < trace->device_count; i++)
		if (trace->devices[i].id == device)
			return (int32_t)i;
	return -1;
}

static int by_ordinal(const void *left, const void *right)
{
	int64_t a = ((const struct event *)left)->ordinal;
	int64_t b = ((const struct event *)right)->ordinal;
	return a < b ? -1 : a > b;
}

static void load(struct trace *trace, struct replay *replay, const struct step *step)
{
	struct rows *rows;

	trace_ended(trace);
	rows = db_rows(trace->db, sql_events, "iii", step->first, step->last,
	               step->pattern);
	replay->count = 0;
	replay->pattern = step->pattern;
	while (rows_next(rows)) {
		replay->events = grow(replay->events, replay->count, &replay->room,
		                      sizeof(*replay->events));
		replay->events[replay->count++] = (struct event){
		        .ordinal = rows_number(rows, 0),
		        .time_ns = rows_number(rows, 1),
		        .bytes = rows_number(rows, 2),
		        .device = device_index(trace, rows_number(rows, 3)),
		        .phase = (int32_t)rows_number_or(rows, 4, PHASE_OTHER),
		        .bucket = rows_number(rows, 5),
		};
	}
	if (replay->count)
		qsort(replay->events, replay->count, sizeof(*replay->events),
		      by_ordinal);
}

int64_t replay_time(const struct step *step, int64_t time_ns)
{
	double from = (double)(step->pattern_end_ns - step->pattern_start_ns);
	double to = (double)(step->end_ns - step->start_ns);

	if (step->pattern == step->id || from <= 0)
		return time_ns;
	return step->start_ns +
	       whole_of((double)(time_ns - step->pattern_start_ns) * to / from);
}

const struct event *replay_step(struct trace *trace, struct replay *replay,
                                const struct step *step, size_t *count)
{
	*count = 0;
	if (step->thinned)
		return NULL;
	if (!replay->events || replay->pattern != step->pattern)
		load(trace, replay, step);
	*count = replay->count;
	if (step->pattern == step->id)
		return replay->events;
	if (replay->shifted_room < replay->count) {
		replay->shifted_room = replay->room;
		replay->shifted =
		        resize(replay->shifted,
		               replay->shifted_room * sizeof(*replay->shifted));
	}
	for (size_t i = 0; i < replay->count; i++) {
		replay->shifted[i] = replay->events[i];
		replay->shifted[i].time_ns =
		        replay_time(step, replay->events[i].time_ns);
	}
	return replay->shifted;
}

void replay_free(struct replay *replay)
{
	free(replay->events);
	free(replay->shifted);
}

void reserved_load(struct trace *trace, int64_t device, struct reserved *reserved)
{
	size_t room = 0;
	struct rows *rows = db_rows(trace->db, sql_reserved, "i", device);
	*reserved = (struct reserved){0};
	while (rows_next(rows)) {
		reserved->changes = grow(reserved->changes, reserved->count, &room,
		                         sizeof(*reserved->changes));
		reserved->changes[reserved->count++] =
		        (struct change){.step = rows_number(rows, 0),
		                        .ordinal = rows_number(rows, 1),
		                        .bytes = rows_number(rows, 2)};
	}
}

int64_t reserved_at(struct reserved *reserved, int64_t step, int64_t ordinal)
{
	while (reserved->at < reserved->count) {
		const struct change *next = &reserved->changes[reserved->at];
		if (next->step > step ||
		    (next->step == step && next->ordinal > ordinal))
			break;
		reserved->now = next->bytes;
		reserved->at++;
	}
	return reserved->now;
}

void reserved_free(struct reserved *reserved)
{
	free(reserved->changes);
}

int64_t replay_start(struct trace *trace, int64_t step, int64_t device)
{
	return rows_first(db_rows(trace->db,
	                          "SELECT start_allocated FROM step_device "
	                          "WHERE step = ? AND device = ?",
	                          "ii", step, device),
	                  0);
}
