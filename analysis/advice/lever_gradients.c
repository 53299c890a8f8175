/* lever_gradients.c - gradients that stay: those of parameters that no optimizer has, and those that
 * nothing frees between two steps.
 * Called from: lever_faults.c. */
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "scene.h"
#include "text.h"

static bool given_by_zero_grad(const struct scene *scene)
{
	for (size_t i = 0; i < scene->script.count; i++)
		if (scene->script.pieces[i].bucket == BUCKET_GRADIENT &&
		    scene->script.pieces[i].given >= 0 &&
		    scene->script.pieces[i].phase_given == PHASE_ZERO_GRAD)
			return true;
	return false;
}

/* The names of parameters for which an optimizer has a state: "fc.weight exp_avg" is one of
 * "fc.weight". */
struct owned {
	char **names; /* sorted */
	size_t count;
};

static struct owned owned_parameters(const struct scene *scene)
{
	const struct places *places = scene->places;
	struct owned owned = {
	        .names = allocate((places->tensor_count + 1) * sizeof(*owned.names))};

	for (size_t i = 0; i < places->tensor_count; i++) {
		const struct tensor *tensor = &places->tensors[i];
		const char *end = strrchr(tensor->name, ' ');
		if (tensor->bucket == BUCKET_OPTIMIZER && end)
			owned.names[owned.count++] = format_text(
			        "%.*s", (int)(end - tensor->name), tensor->name);
	}
	if (owned.count)
		qsort(owned.names, owned.count, sizeof(*owned.names), scene_by_text);
	return owned;
}

static void owned_free(struct owned *owned)
{
	for (size_t i = 0; i < owned->count; i++)
		free(owned->names[i]);
	free(owned->names);
}

static bool is_owned(const struct scene *scene, const struct owned *owned,
                     const struct piece *piece)
{
	const struct tensor *tensor = scene_owner(scene, piece);

	return tensor && owned->count &&
	       bsearch(&tensor->name, owned->names, owned->count, sizeof(*owned->names),
	               scene_by_text);
}

/* Gradients that outlive two steps, or stay while others are let go of. */
static bool outlives(const struct scene *scene, const struct piece *piece, bool zeroed)
{
	return piece->bucket == BUCKET_GRADIENT && piece->given < 0 &&
	       piece->step >= 1 &&
	       (scene->step - piece->step >= 2 ||
	        (zeroed && scene->step - piece->step >= 1 &&
	         scene->oom->moment.phase != PHASE_FORWARD &&
	         scene->oom->moment.phase != PHASE_DATA));
}

static void unowned_gradients(struct scene *scene, const struct owned *owned,
                              bool zeroed)
{
	int64_t bytes = 0;

	if (levers_models(scene) || scene->growth->count)
		return;
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		if (!outlives(scene, piece, zeroed) || is_owned(scene, owned, piece))
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

static void zero_grad_first(struct scene *scene, bool zeroed)
{
	enum phase_id phase = scene->oom->moment.phase;
	int64_t bytes = 0;

	if (phase != PHASE_FORWARD && phase != PHASE_DATA)
		return;
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		int32_t end = scene_next_step(scene, piece->step);
		if (piece->bucket != BUCKET_GRADIENT || end < 0 || piece->step < 1 ||
		    outlives(scene, piece, zeroed))
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

/* The acts of a backward, from its first to behind its last, in [from, to); none: both are `to`. */
struct backward {
	int32_t from, to;
};

static struct backward backward_in(const struct script *script, int32_t from,
                                   int32_t to)
{
	struct backward found = {to, to};

	for (int32_t at = from; at < to; at++) {
		int32_t act = script->acts[at];
		if (!act_moves(act) || act < 0 ||
		    script->pieces[act].phase != PHASE_BACKWARD)
			continue;
		found.from = found.from < to ? found.from : at;
		found.to = at + 1;
	}
	return found;
}

/* How far a backward had come as gradients were made, in parts of it. */
enum { PARTS = 16 };
struct parts {
	int64_t bytes[PARTS], sum;
	int32_t since; /* the act of the newest of them */
	int32_t step;  /* that of the newest, and its backward */
	struct backward of;
};

static void add_part(const struct scene *scene, const struct piece *piece,
                     struct parts *parts)
{
	int64_t part;

	if (parts->step != piece->step) {
		parts->step = piece->step;
		parts->of = backward_in(&scene->script,
		                        scene_next_step(scene, piece->step - 1),
		                        scene_next_step(scene, piece->step));
	}
	part = (int64_t)(piece->taken - parts->of.from) * PARTS /
	       (parts->of.to - parts->of.from + 1);
	parts->bytes[part < 0 ? 0 : part < PARTS ? part : PARTS - 1] += piece->bytes;
	parts->sum += piece->bytes;
	if (piece->taken > parts->since)
		parts->since = piece->taken;
}

/* They are made anew in the backward of [from, to). */
static void made_again(struct scene *scene, const struct parts *parts, int32_t from,
                       int32_t to)
{
	struct backward of = backward_in(&scene->script, from, to);

	for (int i = 0; i < PARTS; i++) {
		struct extra extra = {.bytes = parts->bytes[i], .to = to};
		extra.from = of.from + (of.to - of.from) * i / PARTS;
		if (extra.bytes && extra.from < extra.to)
			edit_extra(&scene->edit, extra);
	}
}

/* Gradients of parameters that an optimizer has, filled with zeros instead of let go of. */
static void set_to_none(struct scene *scene, const struct owned *owned, bool zeroed)
{
	enum phase_id phase = scene->oom->moment.phase;
	int32_t end = (int32_t)scene->script.act_count;
	int32_t next = scene->rest.next >= 0 ? scene->rest.next : end;
	struct parts parts = {.since = -1, .step = -1};

	if (phase != PHASE_FORWARD && phase != PHASE_DATA)
		return;
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		if (!outlives(scene, piece, zeroed) || !is_owned(scene, owned, piece))
			continue;
		add_part(scene, piece, &parts);
		edit_bytes(&scene->edit, (int32_t)i, 0);
	}
	if (parts.sum * 50 < scene->oom->moment.allocated ||
	    parts.since >= scene->from) {
		edit_clear(&scene->edit);
		return;
	}
	edit_extra(&scene->edit, (struct extra){.bytes = parts.sum,
	                                        .from = parts.since,
	                                        .to = scene->from});
	made_again(scene, &parts, scene->from, next);
	made_again(scene, &parts, next, end);
	scene_try(scene,
	          (struct lever){
	                  .id = "zero_grad_first",
	                  .lever = "free gradients",
	                  .fault = true,
	                  .cost = 1,
	                  .change = copy_text(
	                          "call optimizer.zero_grad(set_to_none=True) before "
	                          "the forward: gradients that are filled with zeros "
	                          "keep their memory"),
	                  .basis = format_text("%s of gradients, alive since earlier "
	                                       "steps, which nothing frees",
	                                       text_size(parts.sum).s)},
	          false);
}

void levers_gradients(struct scene *scene)
{
	struct owned owned = owned_parameters(scene);
	bool zeroed = given_by_zero_grad(scene);

	unowned_gradients(scene, &owned, zeroed);
	zero_grad_first(scene, zeroed);
	set_to_none(scene, &owned, zeroed);
	owned_free(&owned);
}
