/* layers.c - the forward of each step as runs of layers.
 *
 * Layers are modules whose dotted name has a number in it: 'h.3.mlp' is of layer 3 of the
 * list 'h'. A pass through one begins with its first tensor and is over when another layer, or
 * a module outside the list, makes one.
 * Called from: lever_forward.c, lever_room.c. */
#include "layers.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"

static bool in_forward(const struct piece *piece)
{
	return (piece->phase == PHASE_FORWARD || piece->phase == PHASE_EVAL) &&
	       piece_computed(piece);
}

bool layers_same_list(const struct layer_run *a, const struct layer_run *b)
{
	return a->length == b->length && !strncmp(a->list, b->list, (size_t)a->length);
}

bool layers_holds(const struct scene *scene, const struct layer_run *run, int32_t index)
{
	const struct piece *piece = &scene->script.pieces[index];
	const struct site *site = scene_site(scene, piece);
	int64_t layer;
	int length = site && site->module ? scene_layer(site->module, &layer) : -1;

	return in_forward(piece) && length == run->length && layer == run->index &&
	       !strncmp(site->module, run->list, (size_t)length);
}

static struct layer_run *add(struct layer_runs *runs, struct layer_run run)
{
	runs->list = grow(runs->list, runs->count, &runs->room, sizeof(*runs->list));
	runs->list[runs->count] = run;
	return &runs->list[runs->count++];
}

void layers_find(const struct scene *scene, int32_t from, struct layer_runs *runs)
{
	const struct script *script = &scene->script;
	struct layer_run *open = NULL;

	*runs = (struct layer_runs){0};
	for (size_t i = 0; i < script->count; i++) {
		const struct piece *piece = &script->pieces[i];
		const struct site *site = scene_site(scene, piece);
		int64_t index = 0;
		int length;
		if (piece->taken < from)
			continue;
		if (open && (!in_forward(piece) || piece->step != open->step)) {
			open->over = piece->taken;
			open = NULL;
		}
		if (!in_forward(piece) || !site || !site->module)
			continue;
		length = scene_layer(site->module, &index);
		if (open && (length != open->length || index != open->index ||
		             strncmp(site->module, open->list, (size_t)length) != 0)) {
			open->over = piece->taken;
			open = NULL;
		}
		if (length < 0)
			continue;
		if (!open)
			open = add(runs, (struct layer_run){.list = site->module,
			                                    .length = length,
			                                    .index = index,
			                                    .first = (int32_t)i,
			                                    .output = -1,
			                                    .step = piece->step});
		open->last = (int32_t)i;
		/* Beside what it hands on, a norm keeps its statistics. */
		if ((piece->given < 0 || piece->phase_given != piece->phase) &&
		    (open->output < 0 ||
		     piece->bytes * 16 >= script->pieces[open->output].bytes))
			open->output = (int32_t)i;
		open->over = (int32_t)script->act_count;
	}
}

void layers_free(struct layer_runs *runs)
{
	free(runs->list);
}
