/* lever_data.c - levers on what lies on the device and could lie on the host: a checkpoint file, a
 * dataset, deep copies.
 * Called from: lever_faults.c. */
#include <stdlib.h>
#include <string.h>

#include "advice_queries.h"
#include "heap.h"
#include "scene.h"
#include "text.h"

/* The stacks that pass through a file, sorted; the caller's. */
static int64_t *stacks_through(const struct scene *scene, const char *file,
                               size_t *count)
{
	struct rows *rows = db_rows(scene->trace->db, sql_stacks_in, "t", file);
	int64_t *stacks = NULL;
	size_t room = 0;

	*count = 0;
	while (rows_next(rows)) {
		stacks = grow(stacks, *count, &room, sizeof(*stacks));
		stacks[(*count)++] = rows_number(rows, 0);
	}
	return stacks;
}

/* What torch.load put on the device and is still there. */
static void checkpoint_file(struct scene *scene)
{
	size_t count;
	int64_t *stacks = stacks_through(scene, "%torch/serialization.py", &count);
	int64_t bytes = 0;

	for (size_t i = 0; count && i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *site = scene_site(scene, piece);
		if (!site || piece->bucket == BUCKET_PARAMETER ||
		    !bsearch(&site->stack, stacks, count, sizeof(*stacks),
		             scene_by_number))
			continue;
		bytes += piece->given < 0 ? piece->bytes : 0;
		edit_bytes(&scene->edit, (int32_t)i, 0);
	}
	free(stacks);
	if (!bytes) {
		edit_clear(&scene->edit);
		return;
	}
	scene_try(
	        scene,
	        (struct lever){
	                .id = "load_on_cpu",
	                .lever = "load on the CPU",
	                .fault = true,
	                .cures = true,
	                .cost = 1,
	                .change = copy_text(
	                        "use torch.load(..., map_location=\"cpu\"), and delete "
	                        "what it returns after load_state_dict"),
	                .basis = format_text("the device holds %s of a checkpoint file",
	                                     text_size(bytes).s)},
	        false);
}

/* Does a gradient or a state have this shape? Then it is a weight without a name. */
static bool is_weight(const struct scene *scene, const struct site *site)
{
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *other = scene_site(scene, piece);
		if ((piece->bucket == BUCKET_GRADIENT ||
		     piece->bucket == BUCKET_OPTIMIZER) &&
		    other && other->shape && !strcmp(other->shape, site->shape))
			return true;
	}
	return false;
}

static bool has_names(const struct scene *scene)
{
	for (size_t i = 0; i < scene->script.count; i++)
		if (scene->script.pieces[i].bucket == BUCKET_PARAMETER &&
		    scene_owner(scene, &scene->script.pieces[i]))
			return true;
	return false;
}

/* A large block from before training that is no model's: the whole dataset, a replay memory. */
static bool is_data(const struct scene *scene, const struct piece *piece)
{
	const struct site *site = scene_site(scene, piece);

	return piece->step == 0 && piece->phase == PHASE_SETUP && piece->given < 0 &&
	       (piece->bucket == BUCKET_PARAMETER || piece->bucket == BUCKET_INPUT) &&
	       piece->bytes * 20 >= scene->oom->moment.allocated && site &&
	       site->shape && !scene_owner(scene, piece) && !is_weight(scene, site);
}

static void dataset(struct scene *scene)
{
	int64_t bytes = 0, largest = 0, site = -1;
	bool trained = false;

	if (!has_names(scene))
		return;
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		trained = trained || piece->bucket == BUCKET_GRADIENT;
		if (!is_data(scene, piece))
			continue;
		bytes += piece->bytes;
		if (piece->bytes > largest) {
			largest = piece->bytes;
			site = piece->site;
		}
		edit_bytes(&scene->edit, (int32_t)i, 0);
	}
	if (!bytes)
		return;
	scene_try(scene,
	          (struct lever){
	                  .id = "load_on_cpu",
	                  .lever = "data on the host",
	                  .cost = 2,
	                  .unsure = trained ? NULL : "only if it is data",
	                  .line = scene_line(scene, site),
	                  .change = copy_text(
	                          "keep the data on the CPU (pin_memory=True) and move "
	                          "one batch at a time: .to(\"cuda\", "
	                          "non_blocking=True)"),
	                  .basis = format_text(
	                          "%s was made before training and belongs to no model",
	                          text_size(bytes).s)},
	          false);
}

static bool is_copy(const struct scene *scene, const struct piece *piece,
                    const int64_t *stacks, size_t count)
{
	const struct site *site = scene_site(scene, piece);

	return piece->given < 0 && piece->taken < scene->rest.first &&
	       (piece->bucket == BUCKET_PARAMETER || piece->bucket == BUCKET_INPUT) &&
	       site &&
	       bsearch(&site->stack, stacks, count, sizeof(*stacks), scene_by_number) &&
	       !scene_owner(scene, piece);
}

/* What copy.deepcopy made and no model of a name has: weights and states to be put back, or a model
 * that is averaged. */
static bool deep_copies(struct scene *scene)
{
	size_t count;
	int64_t *stacks = stacks_through(scene, "%/copy.py", &count);
	int64_t bytes = 0;

	for (size_t i = 0; count && i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		if (!is_copy(scene, piece, stacks, count))
			continue;
		bytes += piece->bytes;
		edit_bytes(&scene->edit, (int32_t)i, 0);
	}
	free(stacks);
	if (!bytes || bytes * 20 < scene->oom->moment.allocated) {
		edit_clear(&scene->edit);
		return false;
	}
	scene_try(scene,
	          (struct lever){.id = "frozen_copy_elsewhere",
	                         .lever = "copy elsewhere",
	                         .cost = 2,
	                         .unsure = "only if no optimizer trains that copy",
	                         .change = copy_text(
	                                 "keep what copy.deepcopy made on the CPU, or "
	                                 "delete it after you put it back"),
	                         .basis = format_text("copy.deepcopy made %s, which "
	                                              "belong to no model with a name",
	                                              text_size(bytes).s)},
	          false);
	return true;
}

/* The shapes of parameters that have a name, sorted, and their bytes; the list is the caller's. */
static const char **named_shapes(const struct scene *scene, size_t *count,
                                 int64_t *bytes)
{
	const char **shapes = allocate((scene->script.count + 1) * sizeof(*shapes));

	*count = 0;
	*bytes = 0;
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *site = scene_site(scene, piece);
		if (piece->bucket != BUCKET_PARAMETER || !scene_owner(scene, piece))
			continue;
		*bytes += piece->bytes;
		if (site && site->shape && scene_shape(scene, piece)->count > 1)
			shapes[(*count)++] = site->shape;
	}
	if (*count)
		qsort(shapes, *count, sizeof(*shapes), scene_by_text);
	return shapes;
}

/* Of one of these shapes, from before this step, and no model's that has a name. */
static bool is_shadow(const struct scene *scene, const struct piece *piece,
                      const char **shapes, size_t count)
{
	const struct site *site = scene_site(scene, piece);

	return piece->taken < scene->from && scene_was_there(scene, piece) &&
	       (piece->bucket == BUCKET_INPUT || piece->bucket == BUCKET_PARAMETER) &&
	       site && site->shape && count &&
	       bsearch(&site->shape, shapes, count, sizeof(*shapes), scene_by_text) &&
	       !scene_owner(scene, piece);
}

/* Copies of the weights that nobody's deepcopy made: an average of them that a program keeps by
 * hand. */
static void shadow_weights(struct scene *scene)
{
	int64_t bytes = 0, weights, first = -1;
	size_t count;
	const char **shapes;

	if (scene->growth->count)
		return;
	shapes = named_shapes(scene, &count, &weights);
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		if (!is_shadow(scene, piece, shapes, count))
			continue;
		first = first < 0 ? piece->site : first;
		bytes += piece->bytes;
		edit_bytes(&scene->edit, (int32_t)i, 0);
	}
	free(shapes);
	if (!weights || bytes * 2 < weights ||
	    bytes * 20 < scene->oom->moment.allocated) {
		edit_clear(&scene->edit);
		return;
	}
	scene_try(scene,
	          (struct lever){.id = "frozen_copy_elsewhere",
	                         .lever = "copy elsewhere",
	                         .cost = 2,
	                         .unsure = "only if these are a copy of the weights "
	                                   "that no step trains",
	                         .line = scene_line(scene, first),
	                         .change = copy_text(
	                                 "keep the copy of the weights (an average, a "
	                                 "snapshot) on the CPU"),
	                         .basis = format_text("%s have the shapes of weights "
	                                              "and belong to no model with a "
	                                              "name",
	                                              text_size(bytes).s)},
	          false);
}

void levers_data(struct scene *scene)
{
	checkpoint_file(scene);
	dataset(scene);
	if (!deep_copies(scene))
		shadow_weights(scene);
}
