/* recording.c - what a trace has of one device, as rows in memory.
 * Called from: script.c. */
#include "recording.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "whatif_queries.h"
#include "whole.h"

enum { ACTS_MOST = 200000 }; /* of a long run, so many from its end */

/* A damaged trace may have any number. */
static int64_t sound(int64_t bytes)
{
	return bytes < -1 ? -1 : bytes > (int64_t)1 << 48 ? (int64_t)1 << 48 : bytes;
}

static void read_steps(struct recording *rec)
{
	struct rows *rows = db_rows(rec->trace->db, sql_steps, "");

	while (rows_next(rows)) {
		rec->steps = grow(rec->steps, rec->step_count, &rec->step_room,
		                  sizeof(*rec->steps));
		rec->steps[rec->step_count++] =
		        (struct number){.step = rows_number(rows, 0),
		                        .pattern = rows_number(rows, 1),
		                        .complete = rows_number(rows, 2),
		                        .events = rows_number(rows, 3),
		                        .thinned = rows_number(rows, 4)};
	}
}

/* Of a long run, the step from which on it is told; the patterns are needed in any case. */
static size_t first_told(const struct recording *rec)
{
	int64_t sum = 0;
	size_t first = rec->step_count;

	while (first > 0 && (!rec->steps[first - 1].told ||
	                     sum + rec->steps[first - 1].events <= ACTS_MOST)) {
		first--;
		sum += rec->steps[first].told ? rec->steps[first].events : 0;
	}
	return first < rec->step_count ? first
	       : rec->step_count       ? rec->step_count - 1
	                               : 0;
}

static void read_rows(struct recording *rec, int64_t from)
{
	struct rows *rows =
	        db_rows(rec->trace->db, sql_rows, "ii", rec->device->id, from);

	while (rows_next(rows)) {
		struct row row = {
		        .born_step = rows_number(rows, 6),
		        .born = rows_number(rows, 7),
		        .died_step = rows_number_or(rows, 8, -1),
		        .died = rows_number_or(rows, 9, -1),
		        .made = -1,
		        .piece = {.site = (int32_t)whole_within(
		                          (double)rows_number(rows, 1), -1, INT32_MAX),
		                  .bucket = (uint8_t)rows_number(rows, 2),
		                  .bytes = sound(rows_number(rows, 3)),
		                  .requested = sound(rows_number_or(rows, 4, -1)),
		                  .address = rows_number(rows, 5),
		                  .ordinal = (int32_t)whole_within(
		                          (double)rows_number(rows, 7), -1, INT32_MAX),
		                  .phase_given = (uint8_t)rows_number_or(rows, 10,
		                                                         PHASE_OTHER),
		                  .phase = (uint8_t)rows_number(rows, 11)}};
		rec->rows = grow(rec->rows, rec->row_count, &rec->row_room,
		                 sizeof(*rec->rows));
		rec->rows[rec->row_count++] = row;
	}
}

/* qsort has no context: the rows that an order is made of. */
static _Thread_local const struct row *ordered;

static int by_birth(const void *left, const void *right)
{
	const struct row *a = &ordered[*(const int32_t *)left],
	                 *b = &ordered[*(const int32_t *)right];

	if (a->born_step != b->born_step)
		return a->born_step < b->born_step ? -1 : 1;
	return a->born < b->born ? -1 : a->born > b->born;
}

static int by_death(const void *left, const void *right)
{
	const struct row *a = &ordered[*(const int32_t *)left],
	                 *b = &ordered[*(const int32_t *)right];

	if (a->died_step != b->died_step)
		return a->died_step < b->died_step ? -1 : 1;
	return a->died < b->died ? -1 : a->died > b->died;
}

static void sort_rows(struct recording *rec)
{
	rec->by_born = allocate((rec->row_count + 1) * sizeof(*rec->by_born));
	rec->by_died = allocate((rec->row_count + 1) * sizeof(*rec->by_died));
	for (size_t i = 0; i < rec->row_count; i++)
		rec->by_born[i] = rec->by_died[i] = (int32_t)i;
	ordered = rec->rows;
	qsort(rec->by_born, rec->row_count, sizeof(*rec->by_born), by_birth);
	qsort(rec->by_died, rec->row_count, sizeof(*rec->by_died), by_death);
}

size_t recording_first(const struct recording *rec, bool death, int64_t step)
{
	size_t low = 0, high = rec->row_count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int32_t at = (death ? rec->by_died : rec->by_born)[middle];
		const struct row *row = &rec->rows[at];
		if ((death ? row->died_step : row->born_step) < step)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void read_given_back(struct recording *rec)
{
	struct rows *rows =
	        db_rows(rec->trace->db, sql_given_back, "i", rec->device->id);

	while (rows_next(rows)) {
		/* Memory that lacked is given back by the allocator itself: all that is
		 * free, as by empty_cache(), before it asks again. */
		rec->pending = grow(rec->pending, rec->pending_count,
		                    &rec->pending_room, sizeof(*rec->pending));
		rec->pending[rec->pending_count++] =
		        (struct pending){rows_number(rows, 0), rows_number(rows, 1)};
	}
}

/* Steps at which the allocator took or gave back memory; the caller's. */
static int64_t *sampled_steps(const struct recording *rec, size_t *count)
{
	struct rows *rows =
	        db_rows(rec->trace->db,
	                "SELECT DISTINCT step FROM memory_sample WHERE device = ? "
	                "ORDER BY step",
	                "i", rec->device->id);
	int64_t *steps = NULL;
	size_t room = 0;

	*count = 0;
	while (rows_next(rows)) {
		steps = grow(steps, *count, &room, sizeof(*steps));
		steps[(*count)++] = rows_number(rows, 0);
	}
	return steps;
}

/* Where many equal steps follow each other and the allocator took nothing, those in the middle
 * change nothing: a few at both ends are told. */
static void choose_told(struct recording *rec)
{
	enum { AROUND = 3 };
	size_t sample_count, at = 0;
	int64_t *sampled = sampled_steps(rec, &sample_count), since = 0;
	bool *turn = allocate(rec->step_count + 1);

	for (size_t i = 0; i < rec->step_count; i++) {
		const struct number *step = &rec->steps[i];
		while (at < sample_count && sampled[at] < step->step)
			at++;
		turn[i] = step->pattern == step->step || !i ||
		          step->pattern != rec->steps[i - 1].pattern ||
		          (at < sample_count && sampled[at] == step->step);
		since = turn[i] ? 0 : since + 1;
		rec->steps[i].told = since < AROUND;
	}
	since = 0;
	for (size_t i = rec->step_count; i-- > 0; since++) {
		rec->steps[i].told = rec->steps[i].told || since < AROUND;
		if (turn[i])
			since = -1;
	}
	free(sampled);
	free(turn);
}

void recording_load(struct trace *trace, const struct device *device, int64_t upto,
                    struct recording *rec)
{
	int64_t from;

	*rec = (struct recording){.trace = trace, .device = device};
	read_steps(rec);
	while (rec->step_count && upto >= 0 &&
	       rec->steps[rec->step_count - 1].step > upto)
		rec->step_count--;
	choose_told(rec);
	rec->first = first_told(rec);
	/* The patterns of what is told may lie before it. */
	from = rec->step_count ? rec->steps[rec->first].step : 0;
	for (size_t i = rec->first; i < rec->step_count; i++)
		if (rec->steps[i].pattern < from)
			from = rec->steps[i].pattern;
	read_rows(rec, from);
	sort_rows(rec);
	read_given_back(rec);
}

void recording_free(struct recording *rec)
{
	free(rec->rows);
	free(rec->steps);
	free(rec->by_born);
	free(rec->by_died);
	free(rec->pending);
}
