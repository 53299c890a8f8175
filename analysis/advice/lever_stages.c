/* lever_stages.c - models that are made one after the other and all stay: the folds of a
 * cross-validation, the members of an ensemble, the trials of a search. Two that stay beside the
 * newest are taken for a habit: the next stage will leave one more.
 * Called from: levers.c. */
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "match.h"
#include "scene.h"
#include "text.h"

enum { MODELS = 3, ROOTS = 64 };

struct made {
	uint64_t key; /* of the place */
	int32_t piece, step;
};

struct stages {
	/* what is alive of what no step computed, by place and time */
	struct made *made;
	size_t count;
	int32_t newest; /* the act that began the newest model; -1: none was made so often */
	const char *roots[ROOTS]; /* of the names of the models before it */
	int root_count;
};

static int by_place(const void *left, const void *right)
{
	const struct made *a = left, *b = right;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return a->piece < b->piece ? -1 : a->piece > b->piece;
}

static void collect(const struct scene *scene, struct stages *stages)
{
	const struct script *script = &scene->script;

	stages->made = allocate((script->count + 1) * sizeof(*stages->made));
	for (size_t i = 0; i < script->count; i++) {
		const struct piece *piece = &script->pieces[i];
		uint64_t key = match_key(scene->places, piece->site, MATCH_LINE);
		if (key && piece->given < 0 && piece->taken < scene->rest.first &&
		    (piece->bucket == BUCKET_PARAMETER ||
		     piece->bucket == BUCKET_INPUT))
			stages->made[stages->count++] =
			        (struct made){key, (int32_t)i, piece->step};
	}
	qsort(stages->made, stages->count, sizeof(*stages->made), by_place);
}

static size_t root_length(const char *name)
{
	return strcspn(name, ".");
}

static bool of_earlier(const struct stages *stages, const struct tensor *tensor)
{
	for (int i = 0; tensor && i < stages->root_count; i++)
		if (root_length(tensor->name) == root_length(stages->roots[i]) &&
		    !strncmp(tensor->name, stages->roots[i], root_length(tensor->name)))
			return true;
	return false;
}

/* Weights of one place: made in enough steps they tell the newest model, and what the earlier ones
 * are called. Those of the newest may not have been known as weights yet. */
static void look_at_place(const struct scene *scene, struct stages *stages,
                          const struct made *made, size_t count)
{
	const struct piece *pieces = scene->script.pieces;
	size_t first = 0; /* of the newest step */
	int times = 1;
	bool weights = false;

	for (size_t i = 1; i < count; i++)
		if (made[i].step != made[i - 1].step)
			times++, first = i;
	for (size_t i = 0; i < first; i++)
		weights = weights || pieces[made[i].piece].bucket == BUCKET_PARAMETER;
	if (times < MODELS || !weights)
		return;
	if (stages->newest < 0 || pieces[made[first].piece].taken < stages->newest)
		stages->newest = pieces[made[first].piece].taken;
	for (size_t i = 0; i < first; i++) {
		const struct tensor *owner = scene_owner(scene, &pieces[made[i].piece]);
		if (owner && stages->root_count < ROOTS && !of_earlier(stages, owner))
			stages->roots[stages->root_count++] = owner->name;
	}
}

/* Weights, gradients and states of the earlier models go as the refused step begins. Their bytes. */
static int64_t without_earlier(struct scene *scene, const struct stages *stages)
{
	int64_t bytes = 0;

	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		if (piece->given >= 0 || piece->taken >= stages->newest ||
		    !of_earlier(stages, scene_owner(scene, piece)))
			continue;
		bytes += piece->bytes;
		edit_given(&scene->edit, (int32_t)i, scene->from);
	}
	return bytes;
}

void levers_stages(struct scene *scene)
{
	struct stages stages = {.newest = -1};
	int64_t bytes;

	if (scene->growth->count || scene->piles_up)
		return; /* what each step keeps is told already, models among it */
	collect(scene, &stages);
	for (size_t from = 0, count; from < stages.count; from += count) {
		const struct made *made = &stages.made[from];
		count = 1;
		while (from + count < stages.count && made[count].key == made->key)
			count++;
		look_at_place(scene, &stages, made, count);
	}
	bytes = without_earlier(scene, &stages);
	free(stages.made);
	if (!bytes || bytes * 20 < scene->oom->moment.allocated) {
		edit_clear(&scene->edit);
		return;
	}
	scene->stages = true;
	scene_try(
	        scene,
	        (struct lever){
	                .id = "stop_leak",
	                .lever = "let go of earlier models",
	                .fault = true,
	                .cures = true,
	                .ends_stages = true,
	                .cost = 1,
	                .unsure = "only if no later step needs the earlier models on "
	                          "this device",
	                .change = copy_text(
	                        "keep of each earlier model what you need later, on "
	                        "the CPU (its state_dict, its score), and delete the "
	                        "model and its optimizer before you make the next one"),
	                .basis = format_text("%s of weights, gradients and states of "
	                                     "models that were made before this one",
	                                     text_size(bytes).s)},
	        false);
}
