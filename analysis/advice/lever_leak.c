/* lever_leak.c - what steps leave behind, and what is made anew and larger each time.
 * Called from: lever_faults.c. */
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "match.h"
#include "scene.h"
#include "text.h"
#include "whole.h"

static bool grows(const struct scene *scene, const struct piece *piece)
{
	return growth_find(scene->growth, piece->site, piece->bucket) != NULL;
}

/* The modules that made something in the step that was refused, sorted; the list is the caller's. */
static const char **modules_at_work(const struct scene *scene, size_t *count)
{
	const char **names = allocate((scene->places->site_count + 1) * sizeof(*names));
	bool *seen = allocate(scene->places->site_count + 1);

	*count = 0;
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *site = scene_site(scene, piece);
		if (piece->taken < scene->from || !site || !site->module ||
		    seen[site - scene->places->sites])
			continue;
		seen[site - scene->places->sites] = true;
		names[(*count)++] = site->module;
	}
	free(seen);
	if (*count)
		qsort(names, *count, sizeof(*names), scene_by_text);
	return names;
}

/* Is it a parameter of a module that was at work? Then it is in use, and no leak. */
static bool in_use(const struct scene *scene, const struct piece *piece,
                   const char **modules, size_t count)
{
	const struct tensor *owner = scene_owner(scene, piece);
	const char *end = owner ? strrchr(owner->name, '.') : NULL;
	char *module;
	bool found;

	if (!end || !count || piece->bucket == BUCKET_OPTIMIZER)
		return false;
	module = format_text("%.*s", (int)(end - owner->name), owner->name);
	found = bsearch(&module, modules, count, sizeof(*modules), scene_by_text);
	free(module);
	return found;
}

/* By piece: the next one of its place, and the next one of a later step; -1. Places that are alike
 * are one. The lists are the caller's. */
struct nexts {
	int32_t *next, *later;
};

static struct nexts next_of_place(const struct scene *scene)
{
	const struct places *places = scene->places;
	const struct piece *pieces = scene->script.pieces;
	size_t count = scene->script.count;
	struct nexts nexts = {allocate((count + 1) * sizeof(int32_t)),
	                      allocate((count + 1) * sizeof(int32_t))};
	int32_t *seen = allocate((places->site_count + 1) * sizeof(*seen));

	memset(seen, -1, (places->site_count + 1) * sizeof(*seen));
	for (size_t i = count; i-- > 0;) {
		const struct site *site = scene_site(scene, &pieces[i]);
		int32_t *last, n;
		nexts.next[i] = nexts.later[i] = -1;
		if (!site)
			continue;
		site = places_site(places,
		                   scene->growth->first_alike[site - places->sites]);
		last = &seen[site - places->sites];
		n = *last;
		nexts.next[i] = n;
		if (n >= 0)
			nexts.later[i] =
			        pieces[n].step > pieces[i].step ? n : nexts.later[n];
		*last = (int32_t)i;
	}
	free(seen);
	return nexts;
}

/* What the program's own names hold (`loss = ...` in a loop) goes as the next is there: a graph
 * once that of the next step that makes one is whole, a single tensor as the next one of its place is
 * made. The newest stays, and so do parameters in use: returns their bytes. */
static int64_t let_growth_go(struct scene *scene)
{
	struct script *script = &scene->script;
	/* by step: the act after its last piece that grows; -1 */
	int32_t *made = allocate((script->step_count + 1) * sizeof(*made));
	struct nexts nexts = next_of_place(scene);
	size_t count;
	const char **modules = modules_at_work(scene, &count);
	int64_t used = 0;

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
		int32_t next = nexts.next[i], later = nexts.later[i], end = -1;
		s = script_step_of(script, piece->taken, s);
		if (!grows(scene, piece))
			continue;
		if (in_use(scene, piece, modules, count)) {
			used += piece->given < 0 ? piece->bytes : 0;
			continue;
		}
		if (next >= 0 && piece->bucket != BUCKET_ACTIVATION &&
		    script->pieces[next].step == piece->step)
			end = script->pieces[next].taken + 1;
		else if (later >= 0)
			end = made[script_step_of(script, script->pieces[later].taken,
			                          s)];
		if (end >= 0)
			edit_given_by(&scene->edit, script, (int32_t)i, end);
	}
	free(modules);
	free(made);
	free(nexts.next);
	free(nexts.later);
	return used;
}

/* A graph hangs on what was made last. Inputs, and copies of weights and their states, have none: each
 * line that makes some that stay is one to change, and up to three are named. */
static char *lines_that_keep(const struct scene *scene, bool states, size_t *count)
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
		known = known || (states && bucket != BUCKET_OPTIMIZER);
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

/* used: models pile up that are in use, so their optimizers alone can go. */
static char *leak_text(const struct scene *scene, bool used)
{
	const struct growth *growth = scene->growth;
	int64_t bucket = growth->list[0].bucket;
	size_t lines;
	char *where, *text;

	if (models_grow(growth) || bucket == BUCKET_INPUT) {
		where = lines_that_keep(scene, used, &lines);
		if (models_grow(growth))
			text = format_text(
			        "let go of the %soptimizers that earlier steps made "
			        "(%s), or move them to the CPU",
			        used ? "" : "models and ", where);
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

/* Most of what grows is made anew each time, and larger: what is alive of a place is of one step. */
static bool gets_larger(const struct scene *scene)
{
	const struct growth *growth = scene->growth;
	int32_t *of_step = allocate((growth->count + 1) * sizeof(*of_step));
	int64_t piled = 0;

	for (size_t i = 0; i < growth->count; i++)
		of_step[i] = -1;
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct grower *grower =
		        growth_find(growth, piece->site, piece->bucket);
		int32_t *seen;
		if (!grower || !scene_was_there(scene, piece) ||
		    piece->taken >= scene->from)
			continue;
		seen = &of_step[grower - growth->list];
		if (*seen >= 0 && *seen != piece->step)
			piled += piece->bytes;
		*seen = *seen < 0 ? piece->step : *seen;
	}
	free(of_step);
	return piled * 4 < growth->grown;
}

/* Is most of what grows of a model: its parameters, its states, or of their shapes? */
static bool of_the_model(const struct scene *scene)
{
	int64_t of_model = 0, all = 0;

	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *site = scene_site(scene, piece);
		if (!scene_was_there(scene, piece) || !grows(scene, piece))
			continue;
		all += piece->bytes;
		if (piece->bucket == BUCKET_PARAMETER ||
		    piece->bucket == BUCKET_OPTIMIZER ||
		    piece->bucket == BUCKET_GRADIENT ||
		    (site && scene_shape_of_weight(scene, site)))
			of_model += piece->bytes;
	}
	return of_model * 2 > all;
}

/* Blocks that get larger stay as large as they were in the middle of the run. */
static void let_growth_stop(struct scene *scene)
{
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct grower *grower =
		        growth_find(scene->growth, piece->site, piece->bucket);
		double share;
		if (!grower || piece->step <= scene->growth->from || grower->bytes < 1)
			continue;
		share = (double)(grower->bytes - grower->grown) / (double)grower->bytes;
		edit_bytes(&scene->edit, (int32_t)i,
		           whole_of((double)piece_asked(piece) * share) + 1);
	}
}

/* A model that gets larger, its states with it: how large it is to be, the program knows. */
static void stop_larger_model(struct scene *scene)
{
	int64_t root = scene->growth->root;
	char *where = scene_where(scene, root);

	let_growth_stop(scene);
	scene_try(
	        scene,
	        (struct lever){
	                .id = "stop_leak",
	                .lever = "stop what gets larger",
	                .fault = true,
	                .cures = true,
	                .cost = 2,
	                .unsure = "how large the model has to be is not known",
	                .line = scene_line(scene, root),
	                .change = format_text(
	                        "stop or cap what makes the parameters and their "
	                        "states larger (%s)",
	                        where),
	                .basis = format_text("they get larger by %s with each step",
	                                     text_size(growth_rate(scene->growth)).s)},
	        true);
	free(where);
}

static void stop_leak(struct scene *scene)
{
	int64_t root = scene->growth->root;
	bool used;

	if (!scene->growth->count)
		return;
	if (gets_larger(scene) && of_the_model(scene)) {
		stop_larger_model(scene);
		return;
	}
	used = let_growth_go(scene) > scene->growth->bytes / 50 &&
	       models_grow(scene->growth);
	scene_try(scene,
	          (struct lever){
	                  .id = "stop_leak",
	                  .lever = "stop the leak",
	                  .fault = true,
	                  .cures = true,
	                  .cost = 1,
	                  .line = scene_line(scene, root),
	                  .unsure = used ? "models that this step uses pile up as "
	                                   "well, and they stay"
	                                 : NULL,
	                  .change = leak_text(scene, used),
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

void levers_leak(struct scene *scene)
{
	stop_leak(scene);
	stop_swelling(scene);
}
