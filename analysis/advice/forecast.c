/* forecast.c - how much a step would still have needed when it ran out of memory.
 *
 * The place that asked is looked for in the newest complete step before, as often as it
 * had allocated in this step. What that step grew by from there to the peak of its forward
 * and backward, this one would have grown by too, times the ratio of what both had made
 * so far.
 * Called from: oom.c. */
#include "forecast.h"

#include <stdlib.h>

#include "advice_queries.h"
#include "heap.h"
#include "replay.h"
#include "whole.h"

struct birth {
	int64_t ordinal, site, bytes;
};

struct births {
	struct birth *list;
	size_t count, room;
};

static void read_births(struct trace *trace, const struct step *step, int64_t device,
                        int64_t upto, struct births *births)
{
	struct rows *rows = db_rows(trace->db, sql_births, "iiiii", step->first,
	                            step->last, step->pattern, device, upto);
	*births = (struct births){0};
	while (rows_next(rows)) {
		births->list = grow(births->list, births->count, &births->room,
		                    sizeof(*births->list));
		births->list[births->count++] =
		        (struct birth){.ordinal = rows_number(rows, 0),
		                       .site = rows_number(rows, 1),
		                       .bytes = rows_number(rows, 2)};
	}
}

/* How well two sites must agree to be the same place in two steps. A refused allocation
 * is named in the middle of a throw: its operator may be known less well. */
enum agreement { FULLY, BY_LINE };

static bool alike(const struct places *places, int64_t one, int64_t other,
                  enum agreement agreement)
{
	const struct site *a = places_site(places, one),
	                  *b = places_site(places, other);
	if (one == other)
		return true;
	if (!a || !b)
		return false;
	return agreement == FULLY ? places_alike(a, b)
	                          : a->stack >= 0 && a->stack == b->stack &&
	                                    a->module_id == b->module_id;
}

static size_t count_alike(const struct places *places, const struct births *births,
                          int64_t site, enum agreement agreement)
{
	size_t count = 0;
	for (size_t i = 0; i < births->count; i++)
		count += alike(places, births->list[i].site, site, agreement);
	return count;
}

/* The allocation of `then` that corresponds to the next one of this site in `now`. */
static const struct birth *twin_of(const struct places *places,
                                   const struct births *now, const struct births *then,
                                   int64_t site)
{
	for (int agreement = FULLY; agreement <= BY_LINE; agreement++) {
		size_t n = count_alike(places, now, site, agreement);
		for (size_t i = 0; i < then->count; i++)
			if (alike(places, then->list[i].site, site, agreement) && !n--)
				return &then->list[i];
	}
	return NULL;
}

struct walk {
	int64_t before, peak;
};

/* Allocated before an event of a step, and the most from there on in its forward and
 * backward. */
static struct walk walk_step(struct trace *trace, const struct moment *moment,
                             const struct step *step, int64_t ordinal)
{
	struct walk walk = {.before = -1};
	struct replay replay = {.pattern = -1};
	int64_t now = replay_start(trace, step->id, moment->device->id);
	size_t count;
	const struct event *events = replay_step(trace, &replay, step, &count);

	for (size_t i = 0; i < count; i++) {
		int32_t phase = events[i].phase;
		if (events[i].device != moment->device - trace->devices)
			continue;
		if (events[i].ordinal >= ordinal && walk.before < 0)
			walk.before = walk.peak = now;
		now += events[i].bytes;
		bool computes = phase == PHASE_FORWARD || phase == PHASE_BACKWARD ||
		                phase == PHASE_RECOMPUTE;
		if (walk.before >= 0 && computes && now > walk.peak)
			walk.peak = now;
	}
	replay_free(&replay);
	return walk;
}

static int64_t step_before(struct trace *trace, const struct moment *moment)
{
	int64_t step = -1;
	struct rows *rows =
	        db_rows(trace->db, sql_complete_before, "i", moment->step.id);
	if (rows_next(rows)) {
		step = rows_number(rows, 0);
		rows_free(rows);
	}
	return step;
}

struct forecast forecast_make(struct trace *trace, const struct places *places,
                              const struct moment *moment, int64_t site,
                              int64_t request)
{
	struct forecast forecast = {.step = -1, .scale = 1, .growth = request};
	struct births now, then;
	const struct birth *twin;
	int64_t id = step_before(trace, moment);

	if (id < 0)
		return forecast;
	struct step step = trace_step(trace, id);
	read_births(trace, &moment->step, moment->device->id, moment->ordinal, &now);
	read_births(trace, &step, moment->device->id, INT64_MAX, &then);
	twin = twin_of(places, &now, &then, site);
	if (twin) {
		struct walk walk = walk_step(trace, moment, &step, twin->ordinal);
		int64_t start = replay_start(trace, id, moment->device->id);
		int64_t made = moment->allocated -
		               replay_start(trace, moment->step.id, moment->device->id);
		int64_t made_then = walk.before - start;
		forecast.step = id;
		forecast.ordinal = twin->ordinal;
		forecast.peak = walk.peak;
		forecast.before = walk.before;
		forecast.start = start;
		/* Little was made before: then the requests themselves compare best. */
		if (made > 4 * request && made_then > 4 * twin->bytes)
			forecast.scale = (double)made / (double)made_then;
		else if (twin->bytes > 0)
			forecast.scale = (double)request / (double)twin->bytes;
		double more = (double)(walk.peak - walk.before) * forecast.scale;
		if (more > (double)request)
			forecast.growth = whole_of(more);
	}
	free(now.list);
	free(then.list);
	return forecast;
}
