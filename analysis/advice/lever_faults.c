/* lever_faults.c - levers that remove a fault: memory that nobody wanted to keep.
 * Called from: levers.c. */
#include <stdlib.h>
#include <string.h>

#include "advice_queries.h"
#include "heap.h"
#include "match.h"
#include "scene.h"
#include "text.h"

/* The act at which the last refusal before this one came; -1. */
static int32_t refused_before(const struct scene *scene)
{
	int64_t ordinal = -1;
	struct rows *rows =
	        db_rows(scene->trace->db, sql_refused_before, "i", scene->oom->id);

	while (rows_next(rows))
		ordinal = rows_number(rows, 0);
	if (ordinal < 0)
		return -1;
	for (size_t i = 0; i < scene->script.count; i++)
		if (scene->script.pieces[i].step == scene->step &&
		    scene->script.pieces[i].ordinal >= ordinal)
			return scene->script.pieces[i].taken;
	/* Nothing was taken in between. */
	return scene->script.pieces[scene->script.refused_piece].taken;
}

static void leave_except(struct scene *scene, int32_t before)
{
	int64_t bytes = 0;

	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		if (piece->step != scene->step || piece->taken >= before ||
		    !piece_computed(piece))
			continue;
		if (edit_given_by(&scene->edit, &scene->script, (int32_t)i, before))
			bytes += piece->bytes;
	}
	scene_try(scene,
	          (struct lever){.id = "leave_except",
	                         .lever = "leave the except block",
	                         .fault = true,
	                         .cures = true,
	                         .cost = 1,
	                         .line = scene_line(scene, scene->oom->site),
	                         .change = copy_text(
	                                 "leave the except block before trying again: "
	                                 "the exception's traceback holds the frames, "
	                                 "and they hold the tensors"),
	                         .basis = format_text(
	                                 "%s from before the refusal earlier in this "
	                                 "step",
	                                 text_size(bytes).s)},
	          false);
}

/* Is it a state that the run still had when it was refused? */
static bool is_state(const struct scene *scene, const struct piece *piece)
{
	return piece->bucket == BUCKET_OPTIMIZER && piece->given < 0 &&
	       piece->taken < scene->rest.first && piece->bytes >= 4096;
}

static int by_key(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

static uint64_t place_of(const struct scene *scene, const struct piece *piece)
{
	return match_key(scene->places, piece->site, MATCH_LINE);
}

/* The places at which a step made states, sorted; the caller's. */
static uint64_t *states_of_step(const struct scene *scene, int32_t step, size_t *count)
{
	uint64_t *keys = NULL;
	size_t room = 0;

	*count = 0;
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		if (piece->step != step || !is_state(scene, piece))
			continue;
		keys = grow(keys, *count, &room, sizeof(*keys));
		keys[(*count)++] = place_of(scene, piece);
	}
	if (*count)
		qsort(keys, *count, sizeof(*keys), by_key);
	return keys;
}

/* States of one place that were made in two steps, both alive: the older are of an optimizer
 * that was replaced. */
static void old_optimizer(struct scene *scene)
{
	int32_t newest = -1, oldest = INT32_MAX;
	int64_t bytes = 0, young = 0;
	uint64_t *again, place;
	size_t count;

	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		if (!is_state(scene, piece))
			continue;
		newest = piece->step > newest ? piece->step : newest;
		oldest = piece->step < oldest ? piece->step : oldest;
	}
	if (newest <= oldest || oldest == INT32_MAX)
		return;
	again = states_of_step(scene, newest, &count);
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		if (!is_state(scene, piece))
			continue;
		if (piece->step == newest)
			young += piece->bytes;
		place = place_of(scene, piece);
		if (piece->step < newest &&
		    bsearch(&place, again, count, sizeof(*again), by_key)) {
			bytes += piece->bytes;
			edit_given(&scene->edit, (int32_t)i,
			           scene_next_step(scene, newest - 1));
		}
	}
	free(again);
	if (young * 4 < bytes) { /* a state here and there comes late */
		edit_clear(&scene->edit);
		return;
	}
	scene_try(scene,
	          (struct lever){
	                  .id = "old_optimizer",
	                  .lever = "let go of the old optimizer",
	                  .fault = true,
	                  .cures = true,
	                  .cost = 1,
	                  .change = copy_text("delete the old optimizer and its "
	                                      "scheduler before you make a new one"),
	                  .basis = format_text("%s are states of an older optimizer",
	                                       text_size(bytes).s)},
	          false);
}

void levers_faults(struct scene *scene)
{
	int32_t before = refused_before(scene);

	levers_leak(scene);
	/* A retry in an except block looks like a turn, and like a forward that is new. */
	if (before >= 0)
		leave_except(scene, before);
	else
		levers_forward(scene);
	levers_gradients(scene);
	levers_data(scene);
	old_optimizer(scene);
}
