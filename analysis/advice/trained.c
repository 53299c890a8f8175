/* trained.c - is a forward one that complete steps trained?
 * Called from: lever_forward.c. */
#include <stdlib.h>

#include "heap.h"
#include "scene.h"

/* The stacks of all places at which forwards of complete steps made something, each once; the
 * caller's. */
static int64_t *forward_stacks(const struct scene *scene, size_t *count)
{
	const struct script *script = &scene->script;
	size_t sites = scene->places->site_count, all = 0;
	bool *seen = allocate(sites + 1);
	int64_t *stacks = allocate((sites + 1) * sizeof(*stacks));

	for (size_t s = 0; s < script->step_count; s++) {
		const struct stretch *step = &script->steps[s];
		if (!step->complete || step->step < 1 || step->step >= scene->step)
			continue;
		for (int32_t at = step->first; at < script_step_end(script, s); at++) {
			int32_t act = script->acts[at];
			const struct site *site;
			if (act < 0 || script->pieces[act].phase != PHASE_FORWARD)
				continue;
			site = scene_site(scene, &script->pieces[act]);
			if (site && site->stack >= 0)
				seen[site - scene->places->sites] = true;
		}
	}
	for (size_t i = 0; i < sites; i++)
		if (seen[i])
			stacks[all++] = scene->places->sites[i].stack;
	free(seen);
	qsort(stacks, all, sizeof(*stacks), scene_by_number);
	*count = 0;
	for (size_t i = 0; i < all; i++)
		if (!*count || stacks[*count - 1] != stacks[i])
			stacks[(*count)++] = stacks[i];
	return stacks;
}

/* Where the refused forward called its model: of what was refused outside of modules, the newest piece
 * of this step's forward that a module made tells. */
static int64_t calling_stack(const struct scene *scene)
{
	const struct script *script = &scene->script;
	const struct site *site = places_site(scene->places, scene->oom->site);

	if (site && site->module)
		return site->stack;
	for (int32_t i = script->refused_piece; i-- > 0;) {
		const struct piece *piece = &script->pieces[i];
		const struct site *other = scene_site(scene, piece);
		if (piece->taken < scene->from)
			break;
		if (piece->phase == PHASE_FORWARD && other && other->module)
			return other->stack;
	}
	return site ? site->stack : -1;
}

bool scene_trained_here(struct scene *scene)
{
	struct line line;
	bool found = false;
	size_t count;
	int64_t *stacks;

	if (scene->trained_here)
		return scene->trained_here > 0;
	line = line_calling(scene->trace, calling_stack(scene));
	stacks = forward_stacks(scene, &count);

	for (size_t i = 0; i < count && line.file && !found; i++) {
		struct line other = line_calling(scene->trace, stacks[i]);
		found = other.file && line_same(&line, &other);
		line_free(&other);
	}
	line_free(&line);
	free(stacks);
	scene->trained_here = found ? 1 : -1;
	return found;
}
