/* lever_turns.c - a loop inside a forward that keeps what each of its turns makes: the rounds of a
 * solver, the time steps of a recursion.
 * Called from: levers.c. */
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "scene.h"
#include "text.h"
#include "turns.h"

static bool stays(const struct turns *turns, const struct piece *piece)
{
	int turn = turns_of(turns, piece);

	return piece->given < 0 && turn >= 0 && (size_t)turn + 1 < turns->count &&
	       turns_leaves(piece, turn);
}

/* Is it of a layer in a list? That can have a checkpoint of its own (checkpointing). */
static bool in_layer(const struct site *site)
{
	int64_t layer;

	return site->module && scene_layer(site->module, &layer) >= 0;
}

/* The place outside of layers that makes most of what stays. -1: layers make half of it and more, which
 * can have checkpoints of their own. */
static int64_t made_by(const struct scene *scene, const struct turns *turns)
{
	int64_t *bytes = allocate((scene->places->site_count + 1) * sizeof(*bytes));
	int64_t all = 0, most = 0, place = -1;

	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *site = scene_site(scene, piece);
		int64_t *sum;
		if (!site || in_layer(site) || !stays(turns, piece))
			continue;
		sum = &bytes[site - scene->places->sites];
		*sum += piece->bytes;
		all += piece->bytes;
		if (*sum > most) {
			most = *sum;
			place = piece->site;
		}
	}
	free(bytes);
	return all * 2 > turns->kept ? place : -1;
}

/* Each turn's memory goes with the turn; the backward makes that of one turn again. What passes from
 * turn to turn stays, and how much that is no event tells. */
static void checkpoint_turns(struct scene *scene, const struct turns *turns)
{
	int64_t place = made_by(scene, turns);
	char *where;

	if (place < 0)
		return;
	for (size_t i = 0; i < scene->script.count; i++)
		if (stays(turns, &scene->script.pieces[i]))
			edit_given_by(
			        &scene->edit, &scene->script, (int32_t)i,
			        turns->begin[turns_of(turns, &scene->script.pieces[i]) +
			                     1]);
	where = scene_where(scene, place);
	scene_try(
	        scene,
	        (struct lever){
	                .id = "checkpoint_turns",
	                .lever = "checkpoint each turn",
	                .cost = 1,
	                .line = scene_line(scene, place),
	                .unsure =
	                        "what passes from one turn to the next stays, and how "
	                        "much that is is not known",
	                .change = format_text(
	                        "put torch.utils.checkpoint around each turn of the "
	                        "loop at %s, or torch.no_grad() around the loop if no "
	                        "gradient has to pass through it",
	                        where),
	                .basis = format_text(
	                        "%lld turns of it keep %s each for the backward",
	                        (long long)turns->count - 1, text_size(turns->rate).s)},
	        false);
	free(where);
}

/* Is the same loop told of as a fault already? */
static bool is_fault(const struct scene *scene)
{
	for (size_t i = 0; i < scene->levers->count; i++)
		if (!strcmp(scene->levers->list[i].id, "stop_leak") ||
		    !strcmp(scene->levers->list[i].id, "no_grad"))
			return true;
	return false;
}

void levers_turns(struct scene *scene)
{
	enum { SEVERAL = 4 };
	struct turns turns;

	turns_find(scene->places, &scene->script, scene->from, scene->rest.first,
	           &turns);
	if (turns.count >= SEVERAL && turns.gradients && !is_fault(scene) &&
	    turns.kept * 20 >= scene->oom->moment.allocated)
		checkpoint_turns(scene, &turns);
	turns_free(&turns);
}
