/* lever_faults.c - levers that remove a fault: memory that nobody wanted to keep.
 * Called from: levers.c. */
#include <stdlib.h>
#include <string.h>

#include "advice_queries.h"
#include "heap.h"
#include "match.h"
#include "scene.h"
#include "text.h"

static int32_t next_step(const struct scene *scene, int32_t step)
{
	for (size_t s = 0; s < scene->script.step_count; s++)
		if (scene->script.steps[s].step > step)
			return scene->script.steps[s].first;
	return -1;
}

static bool grows(const struct scene *scene, const struct piece *piece)
{
	return growth_find(scene->growth, piece->site, piece->bucket) != NULL;
}

/* By piece: the next one of its place; -1. The caller's. */
static int32_t *next_of_place(const struct scene *scene)
{
	const struct places *places = scene->places;
	size_t count = scene->script.count;
	int32_t *next = allocate((count + 1) * sizeof(*next));
	int32_t *seen = allocate((places->site_count + 1) * sizeof(*seen));

	memset(seen, -1, (places->site_count + 1) * sizeof(*seen));
	for (size_t i = count; i-- > 0;) {
		const struct site *site = scene_site(scene, &scene->script.pieces[i]);
		next[i] = site ? seen[site - places->sites] : -1;
		if (site)
			seen[site - places->sites] = (int32_t)i;
	}
	free(seen);
	return next;
}

/* What the program's own names hold (`loss = ...` in a loop) goes as the next is there: a graph
 * once that of the next step is whole, a single tensor as the next one of its place is made. */
static void let_growth_go(struct scene *scene)
{
	struct script *script = &scene->script;
	/* by step: the act after its last piece that grows; -1 */
	int32_t *made = allocate((script->step_count + 1) * sizeof(*made));
	int32_t *next = next_of_place(scene);

	for (size_t s = 0; s <= script->step_count; s++)
		made[s] = -1;
	for (size_t i = 0, s = 0; i < script->count; i++) {
		const struct piece *piece = &script->pieces[i];
		s = script_step_of(script, piece->taken, s);
		if (grows(scene, piece))
			made[s] = piece->taken + 1;
	}
	for (size_t i = 0, s = 0; i < script->count; i++) {
		const struct piece *piece = &script->pieces[i];
		int32_t end = -1;
		s = script_step_of(script, piece->taken, s);
		if (!grows(scene, piece))
			continue;
		if (next[i] >= 0 && piece->bucket != BUCKET_ACTIVATION &&
		    script->pieces[next[i]].step == piece->step)
			end = script->pieces[next[i]].taken + 1;
		else if (s + 1 < script->step_count)
			end = made[s + 1] >= 0 ? made[s + 1]
			                       : script->steps[s + 1].first;
		if (end >= 0)
			edit_given_by(&scene->edit, script, (int32_t)i, end);
	}
	free(made);
	free(next);
}

/* A graph hangs on what was made last. Inputs, and copies of weights and their states, have none: each
 * line that makes some that stay is one to change, and up to three are named. */
static char *lines_that_keep(const struct scene *scene, size_t *count)
{
	enum { MOST = 3 };
	const struct growth *growth = scene->growth;
	char *text = NULL, *seen[MOST];

	*count = 0;
	for (size_t i = 0; i < growth->count && *count < MOST; i++) {
		int64_t bucket = growth->list[i].bucket;
		char *where = scene_where(scene, growth->list[i].site), *longer;
		bool known = bucket != BUCKET_INPUT && bucket != BUCKET_PARAMETER &&
		             bucket != BUCKET_OPTIMIZER;
		for (size_t k = 0; k < *count && !known; k++)
			known = !strcmp(seen[k], where);
		if (known) {
			free(where);
			continue;
		}
		longer =
		        text ? format_text("%s and %s", text, where) : copy_text(where);
		free(text);
		text = longer;
		seen[(*count)++] = where;
	}
	for (size_t k = 0; k < *count; k++)
		free(seen[k]);
	return text;
}

/* Do states grow, and beside them weights or their gradients? Models pile up with their optimizers. */
static bool models_grow(const struct growth *growth)
{
	bool states = false, weights = false;

	for (size_t i = 0; i < growth->count; i++) {
		int64_t bucket = growth->list[i].bucket;
		states = states || bucket == BUCKET_OPTIMIZER;
		weights = weights || bucket == BUCKET_PARAMETER ||
		          bucket == BUCKET_INPUT || bucket == BUCKET_GRADIENT;
	}
	return states && weights;
}

static char *leak_text(const struct scene *scene)
{
	const struct growth *growth = scene->growth;
	int64_t bucket = growth->list[0].bucket;
	size_t lines;
	char *where, *text;

	if (models_grow(growth) || bucket == BUCKET_INPUT) {
		where = lines_that_keep(scene, &lines);
		if (models_grow(growth))
			text = format_text(
			        "let go of the models and optimizers that earlier "
			        "steps made (%s), or move them to the CPU",
			        where);
		else
			text = format_text(
			        "do not keep what %s %s, or keep it on the CPU "
			        "(.cpu())",
			        where, lines > 1 ? "make" : "makes");
	} else {
		where = scene_where(scene, growth->root);
		text = bucket == BUCKET_GRADIENT
		               ? format_text("do not keep gradients (a hook or a list "
		                             "holds "
		                             "what %s makes): keep a number of them "
		                             "(.item())",
		                             where)
		               : format_text("do not keep what %s makes; if it is a "
		                             "loss, keep "
		                             "loss.item(), because a tensor keeps its "
		                             "graph",
		                             where);
	}
	free(where);
	return text;
}

static void stop_leak(struct scene *scene)
{
	int64_t root = scene->growth->root;

	if (!scene->growth->count)
		return;
	let_growth_go(scene);
	scene_try(scene,
	          (struct lever){
	                  .id = "stop_leak",
	                  .lever = "stop the leak",
	                  .fault = true,
	                  .cures = true,
	                  .cost = 1,
	                  .line = scene_line(scene, root),
	                  .change = leak_text(scene),
	                  .basis = format_text(
	                          "kept from earlier steps, %s more with each step",
	                          text_size(growth_rate(scene->growth)).s)},
	          true);
}

/* A block that is made anew with more in it each time stays as it was at first. */
static void stop_swelling(struct scene *scene)
{
	const struct swelling *swelling = &scene->swelling;
	struct script *script = &scene->script;
	uint64_t key;
	int64_t first = 0, site;
	char *where;

	if (swelling->newest < 0 || scene->growth->count)
		return;
	site = script->pieces[swelling->newest].site;
	key = match_key(scene->places, site, MATCH_LINE);
	for (size_t i = 0; i < script->count; i++) {
		if (match_key(scene->places, script->pieces[i].site, MATCH_LINE) != key)
			continue;
		first = first ? first : script->pieces[i].bytes;
		edit_bytes(&scene->edit, (int32_t)i, first);
	}
	where = scene_where(scene, site);
	scene_try(scene,
	          (struct lever){.id = "stop_leak",
	                         .lever = "stop what grows",
	                         .fault = true,
	                         .cures = true,
	                         .cost = 1,
	                         .line = scene_line(scene, site),
	                         .change = format_text("%s makes a larger tensor each "
	                                               "time (torch.cat of all there "
	                                               "was): keep the parts on the "
	                                               "CPU, or only what is needed",
	                                               where),
	                         .basis = format_text("it has %s now, and %s more each "
	                                              "time (%lld times so far)",
	                                              text_size(swelling->bytes).s,
	                                              text_size(swelling->rate).s,
	                                              (long long)swelling->times)},
	          true);
	free(where);
}

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

static bool given_by_zero_grad(const struct scene *scene)
{
	for (size_t i = 0; i < scene->script.count; i++)
		if (scene->script.pieces[i].bucket == BUCKET_GRADIENT &&
		    scene->script.pieces[i].given >= 0 &&
		    scene->script.pieces[i].phase_given == PHASE_ZERO_GRAD)
			return true;
	return false;
}

/* Gradients that outlive two steps, or stay while others are let go of. */
static bool unowned(const struct scene *scene, const struct piece *piece, bool zeroed)
{
	return piece->bucket == BUCKET_GRADIENT && piece->given < 0 &&
	       piece->step >= 1 &&
	       (scene->step - piece->step >= 2 ||
	        (zeroed && scene->step - piece->step >= 1 &&
	         scene->oom->moment.phase != PHASE_FORWARD &&
	         scene->oom->moment.phase != PHASE_DATA));
}

static void unowned_gradients(struct scene *scene)
{
	bool zeroed = given_by_zero_grad(scene);
	int64_t bytes = 0;

	if (levers_models(scene) || scene->growth->count)
		return;
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		if (!unowned(scene, piece, zeroed))
			continue;
		bytes += piece->bytes;
		edit_bytes(&scene->edit, (int32_t)i, 0);
	}
	if (bytes * 50 < scene->oom->moment.allocated) {
		edit_clear(&scene->edit);
		return;
	}
	scene_try(scene,
	          (struct lever){
	                  .id = "unowned_gradients",
	                  .lever = "gradients nobody uses",
	                  .fault = true,
	                  .cures = true,
	                  .cost = 1,
	                  .change = copy_text(
	                          "requires_grad_(False) for the parameters that no "
	                          "optimizer has, or torch.no_grad() around their "
	                          "forward"),
	                  .basis = format_text("no zero_grad frees these gradients: %s",
	                                       text_size(bytes).s)},
	          false);
}

static void zero_grad_first(struct scene *scene)
{
	enum phase_id phase = scene->oom->moment.phase;
	bool zeroed = given_by_zero_grad(scene);
	int64_t bytes = 0;

	if (phase != PHASE_FORWARD && phase != PHASE_DATA)
		return;
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		int32_t end = next_step(scene, piece->step);
		if (piece->bucket != BUCKET_GRADIENT || end < 0 || piece->step < 1 ||
		    unowned(scene, piece, zeroed))
			continue;
		if (piece->step == scene->step && piece->taken < scene->rest.first) {
			edit_clear(&scene->edit); /* accumulation: they are needed */
			return;
		}
		if (edit_given_by(&scene->edit, &scene->script, (int32_t)i, end) &&
		    piece->step + 1 == scene->step)
			bytes += piece->bytes;
	}
	if (!bytes) {
		edit_clear(&scene->edit);
		return;
	}
	scene_try(scene,
	          (struct lever){
	                  .id = "zero_grad_first",
	                  .lever = "free gradients",
	                  .fault = true,
	                  .cost = 1,
	                  .change = copy_text(
	                          "call optimizer.zero_grad() before the forward; it "
	                          "frees the gradients (set_to_none)"),
	                  .basis = format_text("%s of gradients of the step before, "
	                                       "alive in this forward",
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
			           next_step(scene, newest - 1));
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

	stop_leak(scene);
	stop_swelling(scene);
	/* A retry in an except block looks like a turn, and like a forward that is new. */
	if (before >= 0)
		leave_except(scene, before);
	else
		levers_forward(scene);
	unowned_gradients(scene);
	zero_grad_first(scene);
	levers_data(scene);
	old_optimizer(scene);
}
