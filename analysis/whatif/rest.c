/* rest.c - what a run would still have asked for when it was refused.
 *
 * An earlier step is of the same kind if the places of this one are found in it, in both
 * directions, up to the one that was refused: a first evaluation is not. Then the rest of
 * that step is this one's, scaled by the ratio of what both have made, and the next step is
 * all of it again. What this step did before its first forward of that kind (an evaluation, a copy
 * of the model) is no part of that. Without one, a loop inside the step may tell (derived.c: or
 * parameters, what the forward saved, and the optimizer).
 * Called from: advice/scene.c. */
#include "rest.h"

#include <stdio.h>
#include <stdlib.h>

#include "again.h"
#include "derived.h"
#include "heap.h"
#include "match.h"
#include "turns.h"

enum { TRIED = 12 }; /* earlier steps that are looked at */

struct span {
	int32_t first, end; /* pieces */
	int32_t from, to;   /* acts */
};

static struct span span_between(const struct script *script, int32_t from, int32_t to)
{
	struct span span = {.from = from, .to = to};
	size_t low = 0, high = script->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (script->pieces[middle].taken < span.from)
			low = middle + 1;
		else
			high = middle;
	}
	span.first = (int32_t)low;
	for (; low < script->count && script->pieces[low].taken < span.to;)
		low++;
	span.end = (int32_t)low;
	return span;
}

static struct span span_of(const struct script *script, size_t step)
{
	return span_between(script, script->steps[step].first,
	                    script_step_end(script, step));
}

/* Is zero_grad() called between the forward and the backward? The trace has the place of the first
 * call, also where it had nothing to let go of. */
static bool zeroes_late(struct trace *trace, const struct script *script)
{
	static const char of_meta[] = "SELECT value FROM meta WHERE key = ?";
	int64_t step =
	        rows_first(db_rows(trace->db, of_meta, "t", "zero_grad.step"), -1);
	int64_t ordinal =
	        rows_first(db_rows(trace->db, of_meta, "t", "zero_grad.ordinal"), -1);
	bool forward = false, backward = false;

	if (step < 1)
		return false;
	for (size_t i = 0; i < script->count; i++) {
		const struct piece *piece = &script->pieces[i];
		if (piece->step != step || piece->ordinal < 0 ||
		    piece->ordinal >= ordinal)
			continue;
		forward = forward || piece->phase == PHASE_FORWARD;
		backward = backward || piece->phase == PHASE_BACKWARD;
	}
	return forward && !backward;
}

struct twin {
	int32_t piece; /* the refused one's, in the other stretch; -1 */
	int32_t *found;
	double scale;
	bool even; /* all that scales does so by the same factor */
};

static void measure_scale(const struct script *script, const struct span *here,
                          struct twin *twin)
{
	double mine = 0, theirs = 0, off = 0;

	for (int32_t i = here->first; i < here->end; i++) {
		const struct piece *a = &script->pieces[i];
		int32_t other = twin->found[i - here->first];
		if (other < 0 || !piece_scales(a) ||
		    !piece_scales(&script->pieces[other]))
			continue;
		mine += (double)a->bytes;
		theirs += (double)script->pieces[other].bytes;
	}
	twin->scale = theirs > 0 ? mine / theirs : 1;
	for (int32_t i = here->first; i < here->end; i++) {
		const struct piece *a = &script->pieces[i];
		int32_t other = twin->found[i - here->first];
		double wanted;
		if (other < 0 || !piece_scales(a))
			continue;
		wanted = (double)script->pieces[other].bytes * twin->scale;
		off += (double)a->bytes > wanted ? (double)a->bytes - wanted
		                                 : wanted - (double)a->bytes;
	}
	twin->even = off <= 0.15 * mine;
	if (twin->scale > 0.99 && twin->scale < 1.01)
		twin->scale = 1;
}

/* Of the bytes and the number of pieces in [first, end), how much has a counterpart. */
static bool most_found(const struct script *script, const int32_t *found, int32_t first,
                       int32_t end)
{
	double bytes = 0, all = 0;
	int32_t count = 0, asked = 0;

	for (int32_t i = first; i < end; i++) {
		if (match_once(&script->pieces[i]))
			continue;
		asked++;
		all += (double)script->pieces[i].bytes;
		if (found[i - first] >= 0) {
			bytes += (double)script->pieces[i].bytes;
			count++;
		}
	}
	return count >= asked * 4 / 5 && bytes >= 0.8 * all;
}

/* Is `there` a stretch of the same kind, as far as this one came? */
static bool alike(const struct places *places, const struct script *script,
                  const struct span *here, const struct span *there,
                  enum match_level level, struct twin *twin)
{
	int32_t refused = script->refused_piece, *back;
	bool good;

	twin->found = match_pieces(places, script, here->first, here->end, there->first,
	                           there->end, level);
	twin->piece = refused >= here->first ? twin->found[refused - here->first] : -1;
	for (int by = MATCH_STACK; twin->piece < 0 && by <= (int)level; by++) {
		int32_t *again =
		        match_pieces(places, script, here->first, here->end,
		                     there->first, there->end, (enum match_level)by);
		twin->piece = again[refused - here->first];
		free(again);
	}
	good = twin->piece >= 0 &&
	       most_found(script, twin->found, here->first, refused);
	if (good) {
		back = match_pieces(places, script, there->first, twin->piece,
		                    here->first, here->end, level);
		good = level == MATCH_MODULE ||
		       most_found(script, back, there->first, twin->piece);
		free(back);
	}
	if (good) {
		measure_scale(script, here, twin);
		return true;
	}
	free(twin->found);
	twin->found = NULL;
	return false;
}

/* Both stretches from their first forward that has a counterpart on; false: that is where they
 * begin, or there is none. The acts stay: a step after this one is the whole of it. */
static bool without_prologue(const struct places *places, const struct script *script,
                             struct span *here, struct span *there)
{
	int32_t *found = match_pieces(places, script, here->first, here->end,
	                              there->first, there->end, MATCH_LINE);
	int32_t mine = here->first, theirs = there->first;

	while (mine < here->end && (found[mine - here->first] < 0 ||
	                            script->pieces[mine].phase != PHASE_FORWARD))
		mine++;
	free(found);
	while (theirs < there->end && script->pieces[theirs].phase != PHASE_FORWARD)
		theirs++;
	if (mine == here->end || theirs == there->end ||
	    (mine == here->first && theirs == there->first))
		return false;
	here->first = mine;
	there->first = theirs;
	return true;
}

static bool goes_back(const struct script *script, const struct span *span)
{
	for (int32_t i = span->first; i < span->end; i++)
		if (script->pieces[i].phase == PHASE_BACKWARD)
			return true;
	return false;
}

/* Did this step let go of the gradients of the one before? (step(); zero_grad(): the step before
 * did not, where it was the first.) */
static bool begins_with_zero_grad(const struct script *script, const struct span *here)
{
	for (int32_t i = 0; i < here->first; i++) {
		const struct piece *piece = &script->pieces[i];
		if (piece->bucket == BUCKET_GRADIENT && piece->given >= here->from &&
		    piece->given < here->to && piece->phase_given == PHASE_ZERO_GRAD)
			return true;
	}
	return false;
}

/* What is known of the run beside its acts. */
struct known {
	const struct places *places;
	const bool *fixed;
	bool zeroed_late; /* zero_grad() comes between a forward and its backward */
};

/* The rest of `there` after the twin, and where asked for all of it again. */
static void go_on(const struct known *known, struct script *script,
                  const struct span *here, const struct span *there,
                  const struct twin *twin, struct rest *rest)
{
	const struct places *places = known->places;
	bool zeroes = known->zeroed_late && rest->kind == REST_LIKE_STEP;
	struct again again;
	int32_t step = script->steps[script->step_count - 1].step;
	int32_t refused = script->refused_piece;

	again_begin(places, script, &again);
	again.scale = twin->scale;
	again.fixed = known->fixed;
	again.only_forward = rest->kind == REST_FORWARD;
	for (int32_t i = here->first; i < here->end; i++)
		if (twin->found[i - here->first] >= 0)
			again_is(&again, twin->found[i - here->first], i);
	again_is(&again, twin->piece, refused);
	again_copy_step(&again, script->pieces[twin->piece].taken + 1, there->to,
	                zeroes && !goes_back(script, here) ? here->from : -1);
	again_end(&again);
	if (rest->kind == REST_FORWARD)
		return;
	if (rest->kind == REST_LIKE_STEP)
		script_begin(script, step + 1);
	rest->next = (int32_t)script->act_count;
	if (rest->kind == REST_LIKE_STEP && begins_with_zero_grad(script, here))
		again_give_gradients(script, rest->next);
	again_begin(places, script, &again);
	again.scale = twin->scale;
	again.fixed = known->fixed;
	again_copy_step(&again, there->from, there->to, zeroes ? rest->next : -1);
	again_end(&again);
}

static bool from_step(const struct known *known, struct script *script,
                      const struct span *here, enum match_level level,
                      struct rest *rest)
{
	int tried = 0;

	for (size_t s = script->step_count - 1; s-- > 0 && tried < TRIED; tried++) {
		struct span now = *here, there = span_of(script, s);
		struct twin twin;
		if (!script->steps[s].complete || script->steps[s].step < 1)
			continue;
		if (!alike(known->places, script, &now, &there, level, &twin) &&
		    (level == MATCH_MODULE ||
		     !without_prologue(known->places, script, &now, &there) ||
		     !alike(known->places, script, &now, &there, level, &twin)))
			continue;
		rest->kind = level == MATCH_MODULE ? REST_FORWARD : REST_LIKE_STEP;
		rest->like = script->steps[s].step;
		rest->scale = twin.scale;
		rest->trust = rest->kind == REST_FORWARD ? 0.95 : 1;
		if (!twin.even)
			snprintf(
			        rest->why, sizeof(rest->why),
			        "the shapes of this step differ from those of step %d, "
			        "and not by one factor",
			        (int)rest->like);
		go_on(known, script, &now, &there, &twin, rest);
		free(twin.found);
		return true;
	}
	return false;
}

static const char more_turns[] = "how many turns of the loop were still to come";

/* The turn before, of a loop that this step is in. */
static bool from_loop(const struct known *known, struct script *script,
                      const struct span *here, struct rest *rest)
{
	const struct places *places = known->places;
	struct turns turns;
	struct span now, then;
	struct twin twin;
	bool found;

	turns_find(places, script, here->from, (int32_t)script->act_count, &turns);
	if (turns.count < 2) {
		turns_free(&turns);
		return false;
	}
	now = span_between(script, turns.begin[turns.count - 1],
	                   (int32_t)script->act_count);
	then = span_between(script, turns.begin[turns.count - 2], now.from);
	turns_free(&turns);
	found = script->refused_piece >= now.first &&
	        alike(places, script, &now, &then, MATCH_LINE, &twin);
	if (!found)
		return false;
	rest->kind = REST_ITERATION;
	rest->like = script->pieces[script->refused_piece].step;
	rest->scale = twin.scale;
	go_on(known, script, &now, &then, &twin, rest);
	free(twin.found);
	snprintf(rest->why, sizeof(rest->why), "%s", more_turns);
	return true;
}

/* The last two turns of a loop in this step that end where this one was refused. */
static bool from_turn(const struct places *places, struct script *script,
                      const struct span *here, struct rest *rest)
{
	int32_t refused = script->refused_piece, turn[2] = {-1, -1};
	uint64_t key = match_key(places, script->pieces[refused].site, MATCH_STACK);
	struct span now, then;
	struct twin twin;

	/* A backward and an optimizer go over layers and weights: that is no loop. */
	if (script->pieces[refused].phase == PHASE_BACKWARD ||
	    script->pieces[refused].phase == PHASE_RECOMPUTE ||
	    script->pieces[refused].phase == PHASE_OPTIMIZER)
		return false;
	for (int32_t i = refused; key && i-- > here->first && turn[1] < 0;)
		if (match_key(places, script->pieces[i].site, MATCH_STACK) == key)
			turn[turn[0] >= 0] = i;
	if (turn[1] < 0)
		return false;
	now = (struct span){turn[0] + 1, refused + 1, script->pieces[turn[0]].taken + 1,
	                    (int32_t)script->act_count};
	then = (struct span){turn[1] + 1, turn[0] + 1,
	                     script->pieces[turn[1]].taken + 1, now.from};
	if (!alike(places, script, &now, &then, MATCH_LINE, &twin))
		return false;
	rest->kind = REST_ITERATION;
	rest->like = script->pieces[refused].step;
	rest->scale = twin.scale;
	free(twin.found);
	/* A turn ends where the next one is refused: its rest is what followed the last. */
	for (int turns = 0; turns < 2; turns++) {
		struct again again;
		again_begin(places, script, &again);
		again_copy(&again, now.from, now.to);
		again_end(&again);
		if (!turns)
			rest->next = (int32_t)script->act_count;
	}
	snprintf(rest->why, sizeof(rest->why), "%s", more_turns);
	return true;
}

void rest_forecast(struct trace *trace, const struct places *places,
                   const struct device *device, const bool *fixed,
                   struct script *script, struct rest *rest)
{
	struct known known = {.places = places, .fixed = fixed};
	struct span here;

	*rest = (struct rest){.kind = REST_UNKNOWN,
	                      .like = -1,
	                      .scale = 1,
	                      .trust = 1,
	                      .first = (int32_t)script->act_count,
	                      .next = -1};
	if (script->refused_piece < 0 || !script->step_count) {
		snprintf(rest->why, sizeof(rest->why),
		         "the trace has no refused request");
		return;
	}
	here = span_of(script, script->step_count - 1);
	known.zeroed_late = zeroes_late(trace, script);
	if (from_step(&known, script, &here, MATCH_LINE, rest) ||
	    from_loop(&known, script, &here, rest) ||
	    from_turn(places, script, &here, rest) ||
	    (!goes_back(script, &here) &&
	     from_step(&known, script, &here, MATCH_MODULE, rest)))
		return;
	derived_rest(trace, places, device, fixed, script, here.from, known.zeroed_late,
	             rest);
}
