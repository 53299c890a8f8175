/* derived.c - the rest of a first step, from what is known without an earlier one.
 *
 * Gradients to come are the trained parameters' bytes. A backward gives back what the
 * forward saved, the last first, and holds for each about as much again while it goes. States
 * follow from the optimizer's class, and for a foreach Adam the square root of all second
 * moments at once (torch.optim.adam, _multi_tensor_adam). What the rest of a forward makes is
 * not known.
 * Called from: rest.c. */
#include "derived.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "again.h"
#include "heap.h"
#include "whatif_queries.h"
#include "whole.h"

/* Bytes of states that an optimizer's class keeps for each byte of a parameter; -1: unknown.
 * Source: torch.optim, and bitsandbytes for its classes in 8 bits. */
static double state_share(const char *optimizer)
{
	static const struct {
		const char *name;
		double share;
	} known[] = {{"Adam", 2},         {"AdamW", 2},       {"NAdam", 2},
	             {"RAdam", 2},        {"Adamax", 2},      {"Adagrad", 1},
	             {"RMSprop", 1},      {"Rprop", 2},       {"Adadelta", 2},
	             {"Lion", 1},         {"Muon", 1},        {"Adafactor", 0.01},
	             {"AdamW8bit", 0.51}, {"Adam8bit", 0.51}, {"Lion8bit", 0.26}};

	for (size_t i = 0; optimizer && i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(known[i].name, optimizer))
			return known[i].share;
	return -1;
}

struct parameters {
	int64_t *bytes;
	size_t count;
	int64_t sum;
	int64_t unowned;  /* of it, what no optimizer has */
	bool zeroed_late; /* gradients go between the forward and the backward */
};

static struct parameters trained(struct trace *trace, const struct device *device)
{
	struct parameters all = {0};
	size_t room = 0;
	struct rows *rows = db_rows(trace->db, sql_trainable, "t", device->name);

	while (rows_next(rows)) {
		all.bytes = grow(all.bytes, all.count, &room, sizeof(*all.bytes));
		all.bytes[all.count++] = rows_number(rows, 1);
		all.sum += rows_number(rows, 1);
	}
	all.unowned =
	        rows_first(db_rows(trace->db,
	                           "SELECT coalesce(sum(CAST(value AS INTEGER)), 0) "
	                           "FROM meta WHERE key LIKE 'unowned.%'",
	                           ""),
	                   0);
	return all;
}

static int32_t take(struct script *script, int64_t bytes, enum bucket_id bucket,
                    enum phase_id phase)
{
	return script_take(
	        script,
	        (struct piece){.bytes = bytes,
	                       .requested = -1,
	                       .address = -1,
	                       .site = -1,
	                       .ordinal = -1,
	                       .given = -1,
	                       .bucket = (uint8_t)bucket,
	                       .phase = (uint8_t)phase,
	                       .phase_given = (uint8_t)phase,
	                       .step = script->steps[script->step_count - 1].step});
}

/* Bytes of a bucket that are alive, of those made from an act on. */
static int64_t alive_since(const struct script *script, enum bucket_id bucket,
                           int32_t from)
{
	int64_t bytes = 0;

	for (size_t i = 0; i < script->count; i++)
		if (script->pieces[i].given < 0 && script->pieces[i].bucket == bucket &&
		    script->pieces[i].taken >= from)
			bytes += script->pieces[i].bytes;
	return bytes;
}

static int64_t alive_in(const struct script *script, enum bucket_id bucket)
{
	return alive_since(script, bucket, 0);
}

/* After a backward its gradients say what is trained: a model may have no names yet, another
 * may be one of an earlier stage. Those of the step, or all where it has none of its own. */
static void of_gradients(const struct script *script, int32_t from,
                         struct parameters *all)
{
	int32_t since = alive_since(script, BUCKET_GRADIENT, from) > 0 ? from : 0;
	size_t room = 0;

	if (!alive_in(script, BUCKET_GRADIENT))
		return;
	all->count = 0;
	all->sum = 0;
	free(all->bytes);
	all->bytes = NULL;
	for (size_t i = 0; i < script->count; i++) {
		const struct piece *piece = &script->pieces[i];
		if (piece->given >= 0 || piece->bucket != BUCKET_GRADIENT ||
		    piece->taken < since)
			continue;
		all->bytes = grow(all->bytes, all->count, &room, sizeof(*all->bytes));
		all->bytes[all->count++] = piece->bytes;
		all->sum += piece->bytes;
	}
}

/* What the forward saved goes, the newest first, beside a gradient of its size; the weights'
 * gradients come in even shares between. */
static void backward(struct script *script, const struct parameters *all)
{
	int64_t missing = all->sum - alive_in(script, BUCKET_GRADIENT), saved = 0,
	        seen = 0;
	int64_t held = script->refused_piece;
	size_t next = all->count;

	for (size_t i = 0; i < script->count; i++)
		if (script->pieces[i].given < 0 && piece_scales(&script->pieces[i]))
			saved += script->pieces[i].bytes;
	for (size_t i = script->count; i-- > 0;) {
		struct piece *piece = &script->pieces[i];
		int64_t bytes = piece->bytes;
		int32_t made;
		if (piece->given >= 0 || !piece_scales(piece) || (int64_t)i == held ||
		    piece->phase == PHASE_DATA || piece->address < 0)
			continue;
		/* A sum or a count beside large tensors has no gradient to speak of. */
		if (held >= 0 && bytes * 64 < script->pieces[held].bytes) {
			script_give(script, (int32_t)i);
			piece->phase_given = PHASE_BACKWARD;
			seen += bytes;
			continue;
		}
		made = take(script, bytes, BUCKET_TEMPORARY, PHASE_BACKWARD);
		script->pieces[made].site = script->pieces[i].site;
		if (held >= 0)
			script_give(script, (int32_t)held);
		held = made;
		script_give(script, (int32_t)i);
		script->pieces[i].phase_given = PHASE_BACKWARD;
		for (seen += bytes;
		     next > 0 && missing > 0 &&
		     (double)seen / (double)saved >=
		             1 - (double)(next - 1) / (double)all->count;) {
			take(script, all->bytes[--next], BUCKET_GRADIENT,
			     PHASE_BACKWARD);
			missing -= all->bytes[next];
		}
	}
	while (next > 0 && missing > 0) {
		take(script, all->bytes[--next], BUCKET_GRADIENT, PHASE_BACKWARD);
		missing -= all->bytes[next];
	}
	if (held >= 0)
		script_give(script, (int32_t)held);
}

/* What the optimizer holds beside weights, gradients and states. */
static int64_t passing(const struct script *script)
{
	int64_t bytes = 0;

	for (size_t i = 0; i < script->count; i++) {
		const struct piece *piece = &script->pieces[i];
		if (piece->given < 0 && piece->phase == PHASE_OPTIMIZER &&
		    piece->bucket != BUCKET_OPTIMIZER)
			bytes += piece->bytes;
	}
	return bytes;
}

static void steps(struct script *script, const struct parameters *all, int32_t from,
                  double share)
{
	int64_t owned = all->sum - all->unowned;
	int64_t made = alive_since(script, BUCKET_OPTIMIZER, from);
	int64_t missing = whole_of(share * (double)owned) -
	                  (made > 0 ? made : alive_in(script, BUCKET_OPTIMIZER));

	for (size_t i = 0; i < all->count && missing > 0; i++) {
		int64_t bytes = whole_of(share / 2 * (double)all->bytes[i]);
		for (int twice = 0; twice < 2 && missing > 0 && bytes > 0; twice++) {
			take(script, bytes, BUCKET_OPTIMIZER, PHASE_OPTIMIZER);
			missing -= bytes;
		}
	}
	if (share < 2)
		return;
	missing = owned - passing(script);
	for (size_t i = 0; i < all->count && missing > 0; i++) {
		take(script, all->bytes[i], BUCKET_TEMPORARY, PHASE_OPTIMIZER);
		missing -= all->bytes[i];
	}
}

/* Gradients go as the next step begins, or with the backward of it, or stay to be added to; what
 * an optimizer or a backward held goes at once. */
static void end_step(struct script *script, bool late_zero_grad)
{
	for (size_t i = 0; i < script->count; i++) {
		const struct piece *piece = &script->pieces[i];
		bool held = piece->bucket == BUCKET_TEMPORARY ||
		            piece->bucket == BUCKET_ACTIVATION;
		bool passing = piece->phase == PHASE_OPTIMIZER ||
		               piece->phase == PHASE_BACKWARD ||
		               piece->phase == PHASE_CLIP;
		if (piece->given < 0 &&
		    ((piece->bucket == BUCKET_GRADIENT && !late_zero_grad) ||
		     (held && passing)))
			script_give(script, (int32_t)i);
	}
}

/* Has this step's backward made much and let go of next to nothing that the forward saved? */
static bool keeps_all(const struct script *script, int32_t from)
{
	enum { MADE = 8 };
	int64_t made = 0, freed = 0;
	int count = 0;

	for (size_t i = 0; i < script->count; i++) {
		const struct piece *piece = &script->pieces[i];
		if (piece->taken < from || !piece_scales(piece))
			continue;
		if (piece->phase == PHASE_BACKWARD) {
			made += piece->bytes;
			count++;
		} else if (piece->given >= 0 && piece->phase_given == PHASE_BACKWARD) {
			freed += piece->bytes;
		}
	}
	return count >= MADE && freed * 10 < made;
}

/* Why nothing can be derived; NULL: it can. */
static const char *why_not(const struct script *script, int32_t from,
                           const struct parameters *all)
{
	enum phase_id phase = script->pieces[script->refused_piece].phase;

	if (phase != PHASE_BACKWARD && phase != PHASE_OPTIMIZER && phase != PHASE_CLIP)
		return script->steps[script->step_count - 1].step <= 1
		               ? "this is the first step: what the rest of the forward "
		                 "would have kept is not known"
		               : "no step before did what this one does: the rest of "
		                 "it is "
		                 "not known";
	if (phase == PHASE_BACKWARD && keeps_all(script, from))
		return "this backward lets go of nothing (create_graph, retain_graph): "
		       "what it still makes is not known";
	return all->count ? NULL
	                  : "the trace names no trained parameters, so the gradients "
	                    "that would have followed are not known";
}

/* The rest of the step, and all of it again. */
static void derive(const struct places *places, const bool *fixed,
                   struct script *script, int32_t from, const struct parameters *all,
                   double share, struct rest *rest)
{
	struct piece *refused = &script->pieces[script->refused_piece];
	enum phase_id phase = refused->phase;
	int32_t step = script->steps[script->step_count - 1].step, end;
	struct again again;

	rest->kind = REST_DERIVED;
	rest->trust = phase == PHASE_BACKWARD ? 0.9 : 0.97;
	/* DDP makes its buckets anew after the first step. */
	if (alive_in(script, BUCKET_COMMUNICATION) > 0)
		rest->trust = 0.85;
	/* Refused in a step, it is most likely a state; temporaries follow them. */
	if (phase == PHASE_OPTIMIZER &&
	    alive_in(script, BUCKET_OPTIMIZER) < whole_of(share * (double)all->sum))
		refused->bucket = BUCKET_OPTIMIZER;
	if (phase == PHASE_BACKWARD)
		backward(script, all);
	steps(script, all, from, share);
	end_step(script, all->zeroed_late);
	end = (int32_t)script->act_count;
	script_begin(script, step + 1);
	rest->next = end;
	again_begin(places, script, &again);
	again.fixed = fixed;
	again_copy_step(&again, from, end, all->zeroed_late ? end : -1);
	again_end(&again);
}

void derived_rest(struct trace *trace, const struct places *places,
                  const struct device *device, const bool *fixed, struct script *script,
                  int32_t from, bool zeroed_late, struct rest *rest)
{
	struct parameters all = trained(trace, device);
	char *optimizer = rows_first_text(
	        db_rows(trace->db, "SELECT optimizer_class FROM run", ""));
	const char *why = why_not(script, from, &all);
	double share = state_share(optimizer);
	enum phase_id phase = script->pieces[script->refused_piece].phase;

	all.zeroed_late = zeroed_late;
	if (phase == PHASE_OPTIMIZER || phase == PHASE_CLIP)
		of_gradients(script, from, &all);
	if (why)
		snprintf(rest->why, sizeof(rest->why), "%s", why);
	else if (share < 0)
		snprintf(rest->why, sizeof(rest->why),
		         "what %s keeps for a parameter is not known",
		         optimizer ? optimizer : "the optimizer");
	if (!why)
		derive(places, fixed, script, from, &all, share < 0 ? 2 : share, rest);
	free(optimizer);
	free(all.bytes);
}
