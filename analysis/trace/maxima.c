/* maxima.c - the most that each bucket ever held.
 *
 * In step k a bucket holds what lives through the whole of k, which differs from step to
 * step, and what is born or dies in it, which is the same in all steps of a shape
 * (schema.sql). So each shape is walked once, and each step adds its own level. Of a step
 * without rows the recorder has kept the maxima themselves.
 * Called from: answers/, commands/, compare/. */
#include "maxima.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "replay.h"
#include "trace_queries.h"

struct most {
	int64_t bytes, phase;
};

struct shape { /* what one pattern does to each bucket */
	struct most of[BUCKETS];
};

struct levels {
	int64_t (*change)[BUCKETS]; /* of what lives through a whole step */
	int64_t last;
};

static bool known(int64_t bucket)
{
	return bucket >= 0 && bucket < BUCKETS;
}

static void read_levels(struct trace *trace, int64_t device, struct levels *levels)
{
	struct rows *rows = db_rows(trace->db, sql_levels, "i", device);
	while (rows_next(rows)) {
		int64_t bucket = rows_number(rows, 0), bytes = rows_number(rows, 1);
		int64_t born = rows_number(rows, 2);
		int64_t died = rows_number_or(rows, 3, -1);
		if (!known(bucket) || born < 0 || born >= levels->last)
			continue;
		levels->change[born + 1][bucket] += bytes;
		if (died >= 0 && died <= levels->last)
			levels->change[died][bucket] -= bytes;
	}
}

static void hold(struct shape *shape, int64_t now[], int64_t bucket, int64_t bytes,
                 int64_t phase)
{
	if (!known(bucket))
		return;
	now[bucket] += bytes;
	if (now[bucket] > shape->of[bucket].bytes)
		shape->of[bucket] = (struct most){.bytes = now[bucket], .phase = phase};
}

static void walk_shape(struct trace *trace, struct replay *replay, int64_t device,
                       const struct step *step, struct shape *shape)
{
	int64_t now[BUCKETS] = {0};
	size_t count;
	const struct event *events = replay_step(trace, replay, step, &count);
	struct rows *rows;

	trace_ended(trace);
	rows = db_rows(trace->db, sql_entered, "ii", device, step->pattern);

	*shape = (struct shape){0};
	for (int b = 0; b < BUCKETS; b++)
		shape->of[b].phase = -1;
	while (rows_next(rows))
		hold(shape, now, rows_number(rows, 0), rows_number(rows, 1), -1);
	for (size_t i = 0; i < count; i++) {
		const struct event *event = &events[i];
		if (event->device >= 0 && trace->devices[event->device].id == device)
			hold(shape, now, event->bucket, event->bytes, event->phase);
	}
}

/* A step whose rows were thinned away: the recorder has kept what its buckets held. */
static bool read_kept(struct trace *trace, int64_t device, int64_t step,
                      struct maximum *of)
{
	bool any = false;
	struct rows *rows = db_rows(trace->db, sql_kept_maxima, "ii", step, device);
	while (rows_next(rows)) {
		struct maximum one = {.bytes = rows_number(rows, 2),
		                      .step = step,
		                      .phase = rows_number(rows, 1)};
		int64_t bucket = rows_number(rows, 0);
		any = true;
		if (known(bucket) && one.bytes > of[bucket].bytes)
			of[bucket] = one;
	}
	return any;
}

void maxima_each(struct trace *trace, int64_t device, maxima_visit *visit,
                 void *context)
{
	struct levels levels = {
	        .last = db_number(trace->db, 0, "SELECT max(id) FROM step")};
	struct shape *shapes = allocate((size_t)(levels.last + 1) * sizeof(*shapes));
	bool *walked = allocate((size_t)(levels.last + 1) * sizeof(*walked));
	struct replay replay = {.pattern = -1};
	int64_t level[BUCKETS] = {0};

	levels.change = allocate((size_t)(levels.last + 1) * sizeof(*levels.change));
	read_levels(trace, device, &levels);
	struct rows *rows = db_rows(trace->db, "SELECT id FROM step ORDER BY id", "");
	while (rows_next(rows)) {
		struct maximum of[BUCKETS] = {{0}};
		int64_t id = rows_number(rows, 0);
		struct step step = trace_step(trace, id);
		for (int b = 0; b < BUCKETS; b++)
			level[b] += levels.change[id][b];
		if (step.thinned) {
			visit(context, id,
			      read_kept(trace, device, id, of) ? of : NULL);
			continue;
		}
		if (step.pattern < 0 || step.pattern > levels.last)
			continue;
		struct shape *shape = &shapes[step.pattern];
		if (!walked[step.pattern])
			walk_shape(trace, &replay, device, &step, shape);
		walked[step.pattern] = true;
		for (int b = 0; b < BUCKETS; b++)
			of[b] = (struct maximum){.bytes = level[b] + shape->of[b].bytes,
			                         .step = id,
			                         .phase = shape->of[b].phase};
		visit(context, id, of);
	}
	free(levels.change);
	free(shapes);
	free(walked);
	replay_free(&replay);
}

const char *maximum_phase(const struct trace *trace, const struct maximum *maximum)
{
	return maximum->phase < 0 ? NULL : trace_phase(trace, maximum->phase);
}

static void take(void *context, int64_t step, const struct maximum *of)
{
	struct maxima *maxima = context;

	(void)step;
	maxima->thinned |= !of;
	for (int b = 0; of && b < BUCKETS; b++)
		if (of[b].bytes > maxima->of[b].bytes)
			maxima->of[b] = of[b];
}

void maxima_load(struct trace *trace, int64_t device, struct maxima *maxima)
{
	*maxima = (struct maxima){0};
	for (int b = 0; b < BUCKETS; b++)
		maxima->of[b] = (struct maximum){.step = -1, .phase = -1};
	maxima_each(trace, device, take, maxima);
}
