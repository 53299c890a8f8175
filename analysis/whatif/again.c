/* again.c - acts of a script that happen again: copied to its end.
 *
 * What the acts take is taken anew. What they give back is either their own, or was made
 * before them (gradients of the step before): then it is the oldest of the same place that is
 * alive at the script's end.
 * Called from: derived.c, rest.c. */
#include "again.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "match.h"
#include "whole.h"

struct heir {
	uint64_t key;
	int32_t piece;
};

static int by_key(const void *left, const void *right)
{
	const struct heir *a = left, *b = right;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return a->piece < b->piece ? -1 : a->piece > b->piece;
}

void again_begin(const struct places *places, struct script *script,
                 struct again *again)
{
	size_t room = script->count + 1;

	*again = (struct again){.places = places,
	                        .script = script,
	                        .scale = 1,
	                        .newest = (int32_t)script->count};
	again->stands_in = allocate(room * sizeof(*again->stands_in));
	memset(again->stands_in, -1, room * sizeof(*again->stands_in));
	again->heirs = allocate(room * sizeof(*again->heirs));
	for (size_t i = 0; i < script->count; i++)
		if (script->pieces[i].given < 0)
			again->heirs[again->heir_count++] = (struct heir){
			        match_key(places, script->pieces[i].site, MATCH_LINE),
			        (int32_t)i};
	qsort(again->heirs, again->heir_count, sizeof(*again->heirs), by_key);
}

void again_end(struct again *again)
{
	free(again->stands_in);
	free(again->heirs);
	*again = (struct again){0};
}

void again_is(struct again *again, int32_t piece, int32_t stands_for)
{
	again->stands_in[piece] = stands_for;
}

/* The oldest piece of this place that was alive and still is; -1. */
static int32_t heir_of(const struct again *again, int32_t piece)
{
	const struct script *script = again->script;
	uint64_t key = match_key(again->places, script->pieces[piece].site, MATCH_LINE);
	size_t low = 0, high = again->heir_count;

	if (script->pieces[piece].given < 0)
		return piece; /* it is alive itself */
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (again->heirs[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < again->heir_count && again->heirs[low].key == key; low++)
		if (script->pieces[again->heirs[low].piece].given < 0)
			return again->heirs[low].piece;
	return -1;
}

static bool is_fixed(const struct again *again, const struct piece *piece)
{
	const struct site *site = places_site(again->places, piece->site);

	return site && again->fixed && again->fixed[site - again->places->sites];
}

/* Made once and kept for good: it is there already. Weights of a model that is a few moments old
 * are told from a batch by their shapes. */
static bool kept_for_good(const struct again *again, const struct piece *piece)
{
	return piece->given < 0 &&
	       (piece->bucket == BUCKET_OPTIMIZER ||
	        piece->bucket == BUCKET_PARAMETER || piece->bucket == BUCKET_BUFFER ||
	        piece->bucket == BUCKET_WORKSPACE ||
	        (piece->bucket == BUCKET_INPUT && is_fixed(again, piece)));
}

/* Does a name get the new one instead of the old (`logits = model(x)`)? What was still there when
 * the run ended, alone of its place, is let go of so; of two, a list keeps them. */
static bool replaces(const struct again *again, int32_t index, int32_t old)
{
	const struct script *script = again->script;
	const struct piece *piece = &script->pieces[index];
	uint64_t key = match_key(again->places, piece->site, MATCH_LINE);
	int alive = 0;

	if (piece->bucket == BUCKET_GRADIENT)
		return true; /* added to: one of both remains */
	/* What the copied acts give back themselves they give back in the copy. */
	if ((piece->given >= 0 && piece->given < again->until) || old < 0 || !key)
		return false;
	for (size_t i = 0; i < again->heir_count; i++)
		alive += again->heirs[i].key == key &&
		         script->pieces[again->heirs[i].piece].given < 0;
	return alive < 2;
}

static void take(struct again *again, int32_t index)
{
	struct script *script = again->script;
	struct piece piece = script->pieces[index];
	int32_t old = -1, made;
	bool computes = piece.phase == PHASE_FORWARD || piece.phase == PHASE_DATA ||
	                piece.phase == PHASE_EVAL;

	if (kept_for_good(again, &piece) || (again->only_forward && !computes))
		return;
	if (again->scale != 1 && piece_scales(&piece) && !is_fixed(again, &piece)) {
		piece.bytes = whole_of((double)piece.bytes * again->scale);
		piece.requested = -1;
	}
	if (piece.bucket != BUCKET_WORKSPACE)
		old = heir_of(again, index);
	if (old >= 0 && !replaces(again, index, old))
		old = -1;
	piece.address = piece.ordinal = -1;
	piece.given = -1;
	made = script_take(script, piece);
	again->stands_in[index] = made;
	if (old >= 0 && old != made && old < again->newest)
		script_give(script, old);
}

static void give(struct again *again, int32_t index, int32_t from)
{
	struct script *script = again->script;
	int32_t other = again->stands_in[index];

	if (other < 0 && script->pieces[index].taken < from)
		other = heir_of(again, index);
	if (other >= 0 && script->pieces[other].given < 0) {
		script_give(script, other);
		script->pieces[other].phase_given = script->pieces[index].phase_given;
	}
}

void again_copy(struct again *again, int32_t from, int32_t to)
{
	if (again->until < to)
		again->until = to;
	for (int32_t at = from; at < to; at++) {
		int32_t act = again->script->acts[at];
		if (!act_moves(act))
			continue;
		if (act >= 0)
			take(again, act);
		else
			give(again, ~act, from);
	}
}

/* The act with which the backward takes its first piece; `to` where there is none. */
static int32_t first_backward(const struct script *script, int32_t from, int32_t to)
{
	for (int32_t at = from; at < to; at++)
		if (script->acts[at] >= 0 &&
		    script->pieces[script->acts[at]].phase == PHASE_BACKWARD)
			return at;
	return to;
}

/* What zero_grad() lets go of: gradients that were taken before an act. */
void again_give_gradients(struct script *script, int32_t before)
{
	for (size_t i = 0; i < script->count; i++)
		if (script->pieces[i].given < 0 && script->pieces[i].taken < before &&
		    script->pieces[i].bucket == BUCKET_GRADIENT)
			script_give(script, (int32_t)i);
}

void again_copy_step(struct again *again, int32_t from, int32_t to, int32_t zeroed)
{
	int32_t goes_back = first_backward(again->script, from, to);

	again->until = to;
	again_copy(again, from, goes_back);
	if (zeroed >= 0)
		again_give_gradients(again->script, zeroed);
	again_copy(again, goes_back, to);
}
