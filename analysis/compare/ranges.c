/* ranges.c - two runs step by step, like differences folded.
 * Called from: diff.c. */
#include <stdlib.h>
#include <string.h>

#include "diff.h"
#include "heap.h"
#include "maxima.h"

enum { LOOKED_AT = 32 }; /* stretches whose changes are looked for */

struct entry {
	bool there, complete;
	int64_t allocated, phase;
	int64_t held[BUCKETS];
};

struct series {
	struct entry *list; /* by step */
	int64_t count;
};

static void note_held(void *context, int64_t step, const struct maximum *of)
{
	struct series *series = context;

	if (step < 0 || step >= series->count || !of)
		return;
	for (int i = 0; i < BUCKETS; i++)
		series->list[step].held[i] = of[i].bytes;
}

static struct series series_of(const struct side *side)
{
	struct trace *trace = side->trace;
	struct series series = {
	        .count = db_number(trace->db, -1, "SELECT max(id) FROM step") + 1};
	struct rows *rows;

	series.list = allocate((size_t)(series.count + 1) * sizeof(*series.list));
	rows = db_rows(trace->db,
	               "SELECT d.step, d.peak_allocated, d.peak_phase, s.complete "
	               "FROM step_device d JOIN step s ON s.id = d.step "
	               "WHERE d.device = ?1",
	               "i", side->device->id);
	while (rows_next(rows)) {
		int64_t step = rows_number(rows, 0);
		if (step >= 0 && step < series.count)
			series.list[step] =
			        (struct entry){.there = true,
			                       .allocated = rows_number(rows, 1),
			                       .phase = rows_number(rows, 2),
			                       .complete = rows_number(rows, 3)};
	}
	maxima_each(trace, side->device->id, note_held, &series);
	return series;
}

/* Step 0 is the setup; of the others those that an Optimizer.step() ended. */
static bool counts(const struct series *series, int64_t step)
{
	return step < series->count && series->list[step].there &&
	       (!step || series->list[step].complete);
}

static int64_t more(const struct series *a, const struct series *b, int64_t step)
{
	return b->list[step].allocated - a->list[step].allocated;
}

/* How far the stretch from `from` goes on with one rate; the steps between are in both. */
static int64_t stretch_end(const struct series *a, const struct series *b, int64_t from,
                           int64_t last, int64_t *rate)
{
	int64_t to = from;

	*rate = 0;
	if (from && from + 1 <= last)
		*rate = more(a, b, from + 1) - more(a, b, from);
	while (from && to + 1 <= last && more(a, b, to + 1) - more(a, b, to) == *rate)
		to++;
	/* Two steps are no line. */
	if (*rate && to < from + 2) {
		*rate = 0;
		to = from;
	}
	return to;
}

static void put_range(struct diff *diff, const struct series *a, const struct series *b,
                      int64_t from, int64_t to, int64_t rate)
{
	struct range range = {.from = from,
	                      .to = to,
	                      .first = more(a, b, from),
	                      .last = more(a, b, to),
	                      .rate = rate,
	                      .phase_a = a->list[to].phase,
	                      .phase_b = b->list[to].phase};

	for (int i = 0; i < BUCKETS; i++)
		range.bucket[i] = b->list[to].held[i] - a->list[to].held[i];
	diff->ranges = grow(diff->ranges, diff->range_count, &diff->range_room,
	                    sizeof(*diff->ranges));
	diff->ranges[diff->range_count++] = range;
}

static int64_t weight(const struct range *range)
{
	int64_t first = range->first < 0 ? -range->first : range->first;
	int64_t last = range->last < 0 ? -range->last : range->last;
	return first > last ? first : last;
}

static int by_weight(const void *left, const void *right)
{
	const struct range *a = left, *b = right;

	if (weight(a) != weight(b))
		return weight(a) < weight(b) ? 1 : -1;
	return a->from < b->from ? -1 : a->from > b->from;
}

static void look_at(struct diff *diff, struct range *range)
{
	struct side *sides[] = {&diff->a, &diff->b};
	struct things alive[2];

	for (int i = 0; i < 2; i++) {
		struct side *side = sides[i];
		struct point point;
		struct step step = trace_step(side->trace, range->to);
		if (!trace_peak(side->trace, side->device->id, range->to, &point))
			point = (struct point){.ordinal = -1};
		side_alive(side, &step, point.ordinal, point.allocated, &alive[i]);
	}
	changes_find(&alive[0], &alive[1], &range->changes);
	range->told = true;
	range->as_peak = changes_equal(&range->changes, &diff->changes);
	free(alive[0].list);
	free(alive[1].list);
}

/* Complete steps that are in one run alone. */
static int64_t alone(const struct series *of, const struct series *other)
{
	int64_t count = 0;
	for (int64_t step = 1; step < of->count; step++)
		count += counts(of, step) && !counts(other, step);
	return count;
}

void ranges_make(struct diff *diff)
{
	struct series a = series_of(&diff->a), b = series_of(&diff->b);
	int64_t last = (a.count < b.count ? a.count : b.count) - 1, rate;

	for (int64_t from = 0, to; from <= last; from = to + 1) {
		int64_t end = from;
		to = from;
		if (!counts(&a, from) || !counts(&b, from))
			continue;
		while (end < last && counts(&a, end + 1) && counts(&b, end + 1))
			end++;
		to = stretch_end(&a, &b, from, end, &rate);
		diff->shared += to - from + 1;
		put_range(diff, &a, &b, from, to, rate);
	}
	diff->alone_a = alone(&a, &b);
	diff->alone_b = alone(&b, &a);
	if (diff->range_count)
		qsort(diff->ranges, diff->range_count, sizeof(*diff->ranges),
		      by_weight);
	for (size_t i = 0; i < diff->range_count && i < LOOKED_AT; i++)
		look_at(diff, &diff->ranges[i]);
	free(a.list);
	free(b.list);
}
