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
	int64_t pattern;
	struct most of[BUCKETS];
};

struct level_change { /* of what lives through a whole step, from this step on */
	int64_t step, bucket, bytes;
};

struct walk {
	struct trace *trace;
	int64_t device, last;         /* step */
	struct level_change *changes; /* by step */
	size_t change_count, change_room, change_at;
	int64_t level[BUCKETS];
	struct shape *shapes; /* by pattern */
	size_t shape_count, shape_room;
	struct replay replay;
	maxima_visit *visit;
	void *context;
};

static bool known(int64_t bucket)
{
	return bucket >= 0 && bucket < BUCKETS;
}

static void change(struct walk *walk, int64_t step, int64_t bucket, int64_t bytes)
{
	walk->changes = grow(walk->changes, walk->change_count, &walk->change_room,
	                     sizeof(*walk->changes));
	walk->changes[walk->change_count++] =
	        (struct level_change){.step = step, .bucket = bucket, .bytes = bytes};
}

static int by_step(const void *left, const void *right)
{
	int64_t a = ((const struct level_change *)left)->step;
	int64_t b = ((const struct level_change *)right)->step;

	return a < b ? -1 : a > b;
}

static void read_levels(struct walk *walk)
{
	struct rows *rows = db_rows(walk->trace->db, sql_levels, "i", walk->device);

	while (rows_next(rows)) {
		int64_t bucket = rows_number(rows, 0), bytes = rows_number(rows, 1);
		int64_t born = rows_number(rows, 2);
		int64_t died = rows_number_or(rows, 3, -1);
		if (!known(bucket) || born < 0 || born >= walk->last)
			continue;
		change(walk, born + 1, bucket, bytes);
		if (died >= 0 && died <= walk->last)
			change(walk, died, bucket, -bytes);
	}
	if (walk->change_count)
		qsort(walk->changes, walk->change_count, sizeof(*walk->changes),
		      by_step);
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

static struct shape walk_shape(struct walk *walk, const struct step *step)
{
	struct trace *trace = walk->trace;
	int64_t now[BUCKETS] = {0};
	size_t count;
	struct shape shape = {.pattern = step->pattern};
	const struct event *events = replay_step(trace, &walk->replay, step, &count);
	struct rows *rows;

	trace_ended(trace);
	rows = db_rows(trace->db, sql_entered, "ii", walk->device, step->pattern);
	for (int b = 0; b < BUCKETS; b++)
		shape.of[b].phase = -1;
	while (rows_next(rows))
		hold(&shape, now, rows_number(rows, 0), rows_number(rows, 1), -1);
	for (size_t i = 0; i < count; i++) {
		const struct event *event = &events[i];
		if (event->device >= 0 &&
		    trace->devices[event->device].id == walk->device)
			hold(&shape, now, event->bucket, event->bytes, event->phase);
	}
	return shape;
}

/* A step comes after its pattern, so that shapes come by their patterns; were one to come later,
 * it would be walked for each of its steps. */
static struct shape shape_of(struct walk *walk, const struct step *step)
{
	size_t low = 0, high = walk->shape_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (walk->shapes[middle].pattern < step->pattern)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < walk->shape_count && walk->shapes[low].pattern == step->pattern)
		return walk->shapes[low];
	struct shape shape = walk_shape(walk, step);
	if (low == walk->shape_count) {
		walk->shapes = grow(walk->shapes, walk->shape_count, &walk->shape_room,
		                    sizeof(*walk->shapes));
		walk->shapes[walk->shape_count++] = shape;
	}
	return shape;
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

static void visit_step(void *context, const struct step *step)
{
	struct walk *walk = context;
	struct maximum of[BUCKETS] = {{0}};

	for (; walk->change_at < walk->change_count &&
	       walk->changes[walk->change_at].step <= step->id;
	     walk->change_at++) {
		const struct level_change *next = &walk->changes[walk->change_at];
		walk->level[next->bucket] += next->bytes;
	}
	if (step->thinned) {
		bool any = read_kept(walk->trace, walk->device, step->id, of);
		walk->visit(walk->context, step->id, any ? of : NULL);
		return;
	}
	if (step->pattern < 0 || step->pattern > walk->last)
		return;
	struct shape shape = shape_of(walk, step);
	for (int b = 0; b < BUCKETS; b++)
		of[b] = (struct maximum){.bytes = walk->level[b] + shape.of[b].bytes,
		                         .step = step->id,
		                         .phase = shape.of[b].phase};
	walk->visit(walk->context, step->id, of);
}

void maxima_each(struct trace *trace, int64_t device, maxima_visit *visit,
                 void *context)
{
	struct walk walk = {
	        .trace = trace,
	        .device = device,
	        .last = db_number(trace->db, 0, "SELECT max(id) FROM step"),
	        .replay = {.pattern = -1},
	        .visit = visit,
	        .context = context,
	};

	read_levels(&walk);
	trace_each_step(trace, visit_step, &walk);
	free(walk.changes);
	free(walk.shapes);
	replay_free(&walk.replay);
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
