/* lever_kept.c - what two or three steps have left behind: too few to call it a leak, too much to
 * call anything else enough.
 * Called from: levers.c. */
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "scene.h"
#include "text.h"

/* What a program keeps on purpose is something else: weights, gradients that accumulate, states;
 * and what one variable names is gone when it names the next one. */
static bool may_pile_up(const struct scene *scene, const struct piece *piece)
{
	bool kind = piece->bucket == BUCKET_ACTIVATION ||
	            piece->bucket == BUCKET_INPUT ||
	            (piece->bucket == BUCKET_GRADIENT && !scene_owner(scene, piece)) ||
	            piece->bucket == BUCKET_TEMPORARY;

	return kind && piece->step >= 1 && piece->step < scene->step &&
	       piece->taken < scene->from && scene_was_there(scene, piece) &&
	       (piece->bucket == BUCKET_GRADIENT || !scene_weight_like(scene, piece));
}

/* By site: the bytes that a step has left behind and that are still there. The caller's. */
static int64_t *left_by(const struct scene *scene, int32_t step)
{
	int64_t *bytes = allocate((scene->places->site_count + 1) * sizeof(*bytes));

	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *site = scene_site(scene, piece);
		if (site && piece->step == step && may_pile_up(scene, piece))
			bytes[site - scene->places->sites] += piece->bytes;
	}
	return bytes;
}

/* Lets each piece go when the next step has made its own; the bytes of the newest step. */
static int64_t let_pile_go(struct scene *scene, const int64_t *before,
                           const int64_t *newest, int64_t *first)
{
	int64_t rate = 0, largest = 0;

	*first = -1;
	for (size_t i = 0; i < scene->places->site_count; i++) {
		int64_t both = before[i] < newest[i] ? before[i] : newest[i];
		rate += both;
		if (both > largest) {
			largest = both;
			*first = scene->places->sites[i].id;
		}
	}
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *site = scene_site(scene, piece);
		size_t at = site ? (size_t)(site - scene->places->sites) : 0;
		int32_t end = -1;
		if (!site || !before[at] || !newest[at] || !may_pile_up(scene, piece))
			continue;
		for (size_t s = 0; s < scene->script.step_count && end < 0; s++)
			if (scene->script.steps[s].step > piece->step)
				end = script_step_end(&scene->script, s);
		if (end >= 0 && end < (int32_t)scene->script.act_count)
			edit_given_by(&scene->edit, &scene->script, (int32_t)i, end);
	}
	return rate;
}

/* What a forward saves for its backward. */
static bool is_saved(const struct scene *scene, const struct piece *piece, int32_t step)
{
	const struct site *site = scene_site(scene, piece);

	return piece->step == step && piece->phase == PHASE_FORWARD &&
	       piece->bucket == BUCKET_ACTIVATION && site && site->module;
}

static bool went_back(const struct scene *scene, int32_t step)
{
	for (size_t i = 0; i < scene->script.count; i++)
		if (scene->script.pieces[i].step == step &&
		    scene->script.pieces[i].phase == PHASE_BACKWARD)
			return true;
	return false;
}

/* Most of what the step before saved is there still, though its backward is over: the backward was told
 * to keep its graph, and a name holds the loss until the next one. */
static void graph_stays(struct scene *scene)
{
	int32_t before = scene->step - 1, end = scene_next_step(scene, before);
	int64_t all = 0, stays = 0, first = -1;

	if (scene->growth->count || before < 1 || end < 0 || !went_back(scene, before))
		return;
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		if (is_saved(scene, piece, scene->step) && scene->rest.next >= 0)
			edit_given_by(&scene->edit, &scene->script, (int32_t)i,
			              scene->rest.next);
		if (!is_saved(scene, piece, before))
			continue;
		all += piece->bytes;
		if (!scene_was_there(scene, piece))
			continue;
		first = first < 0 ? piece->site : first;
		stays += piece->bytes;
		edit_given_by(&scene->edit, &scene->script, (int32_t)i, end);
	}
	if (stays * 2 < all || stays * 20 < scene->oom->moment.allocated) {
		edit_clear(&scene->edit);
		return;
	}
	scene_try(
	        scene,
	        (struct lever){
	                .id = "stop_leak",
	                .lever = "let go of the graph",
	                .fault = true,
	                .cures = true,
	                .cost = 1,
	                .line = scene_line(scene, first),
	                .change = copy_text(
	                        "leave retain_graph=True (or create_graph=True) out of "
	                        "the step's last backward(), or del what holds the "
	                        "loss "
	                        "before the next forward"),
	                .basis = format_text("%s that the forward of step %d saved is "
	                                     "still there after its backward",
	                                     text_size(stays).s, before)},
	        true);
}

/* The places that both steps before this one have left something of, where there are too few
 * steps to tell a leak (growth.h). */
void levers_kept(struct scene *scene)
{
	int64_t *before, *newest, first, rate;
	char *where;

	graph_stays(scene);
	if (!scene->growth->too_short || scene->step < 3)
		return;
	before = left_by(scene, scene->step - 2);
	newest = left_by(scene, scene->step - 1);
	rate = let_pile_go(scene, before, newest, &first);
	free(before);
	free(newest);
	if (rate * 200 < scene->oom->moment.allocated) {
		edit_clear(&scene->edit);
		return;
	}
	scene->piles_up = true;
	where = scene_where(scene, first);
	scene_try(scene,
	          (struct lever){
	                  .id = "stop_leak",
	                  .lever = "stop the leak",
	                  .fault = true,
	                  .cures = true,
	                  .cost = 1,
	                  .unsure = "two steps have left it behind: whether that goes "
	                            "on is not known",
	                  .line = scene_line(scene, first),
	                  .change = format_text(
	                          "let go of what %s makes, if something keeps it: a "
	                          "view keeps all of its tensor, a loss its graph "
	                          "(.item(), .cpu(), .clone() of a part)",
	                          where),
	                  .basis = format_text("%s of each of the two steps before is "
	                                       "still there",
	                                       text_size(rate).s)},
	          true);
	free(where);
}
