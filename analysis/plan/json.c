/* json.c - the answer of `plan` as JSON.
 * Called from: commands/plan.c. */
#include "file.h"
#include "json.h"
#include "plan.h"
#include "tasks.h"
#include "trace.h"

static void json_terms(struct json *json, const struct formula *formula)
{
	json_array(json, "terms");
	for (int i = 0; i < formula->count; i++) {
		const struct formula_term *term = &formula->terms[i];
		json_object(json, NULL);
		json_text(json, "term", term->name);
		json_text(json, "bucket", formula_bucket_names[term->bucket]);
		json_number(json, "bytes", term->bytes);
		json_truth(json, "temporary", term->temporary);
		json_text(json, "formula", term->formula);
		json_text(json, "numbers", term->numbers);
		json_text(json, "source", term->source);
		json_end(json);
	}
	json_end(json);
}

/* What was measured decides; where only a run on the card could tell, nothing does. */
static void json_fit(struct json *json, const struct plan *plan, int index)
{
	enum fit predicted = plan_fit(plan, &plan->cards[index]);
	const struct measured_card *card =
	        plan->measured ? &plan->measured->cards[index] : NULL;

	/* A sum without activations is one that was asked for: its answer has always been here. */
	bool open = predicted == FIT_OPEN && plan->formula.activations_known;

	if (card ? card->fit == MEASURED_OPEN : open)
		json_null(json, "fits");
	else
		json_truth(json, "fits",
		           card ? card->fit == MEASURED_YES : predicted != FIT_NO);
	json_text(json, "basis",
	          card || plan_as_traced(plan) ? "measured"
	          : plan_peak_bytes(plan_on(plan, &plan->cards[index])) < 0
	                  ? "sum"
	                  : "predicted");
	if (card)
		json_text(json, "where", card->where);
}

static void json_peak(struct json *json, const struct plan *plan)
{
	static const char *const names[TAPE_BUCKETS] = {"parameter", "gradient",
	                                                "optimizer", "activation",
	                                                "temporary", "workspace"};
	const struct tape_totals *worst = walk_worst(&plan->walk);

	if (plan_as_traced(plan)) {
		json_number(json, "peak_allocated_bytes", plan->traced.peak);
		json_text(json, "peak_phase", plan->traced.phase);
		json_object(json, "peak");
		json_text(json, "basis", "measured");
		json_number(json, "step", plan->traced.step);
		json_known(json, "reserved_bytes", plan->traced.reserved);
		json_end(json);
		return;
	}
	json_known(json, "peak_allocated_bytes", plan_peak_bytes(plan));
	if (!plan->walked) {
		json_null(json, "peak_phase");
		if (!plan->traced.scaled) {
			json_null(json, "peak");
			return;
		}
		json_object(json, "peak");
		json_text(json, "basis", "scaled");
		json_null(json, "reserved_bytes");
		json_end(json);
		return;
	}
	json_text(json, "peak_phase", plan_phase_names[worst->peak.phase]);
	json_object(json, "peak");
	json_text(json, "basis", "predicted");
	json_number(json, "reserved_bytes", plan_need(plan));
	json_number(json, "left_by_forward_bytes", plan->walk.left);
	json_object(json, "by_bucket");
	for (int bucket = 0; bucket < TAPE_BUCKETS; bucket++)
		json_number(json, names[bucket], worst->peak.bucket[bucket]);
	json_end(json);
	json_object(json, "by_phase");
	for (int phase = TAPE_FORWARD; phase < TAPE_PHASES; phase++)
		json_number(json, plan_phase_names[phase], worst->phase[phase].bytes);
	json_end(json);
	json_end(json);
}

static void json_fits(struct json *json, const struct plan *plan)
{
	json_array(json, "fits");
	for (int i = 0; i < plan->card_count; i++) {
		const struct card *card = &plan->cards[i];
		int64_t available = plan_available(plan, card);
		int64_t largest = plan_largest(plan, card);
		json_object(json, NULL);
		json_text(json, "gpu", card->name);
		json_number(json, "total_bytes", card->bytes);
		json_number(json, "context_bytes", plan_context(plan, card));
		json_number(json, "available_bytes", available);
		json_fit(json, plan, i);
		if (largest < 0 || plan->unknown)
			json_null(json, "max_batch");
		else
			json_number(json, "max_batch", largest);
		json_text(json, "source", card->source);
		if (*card->date)
			json_text(json, "as_of", card->date);
		json_end(json);
	}
	json_end(json);
}

/* A figure of the formula's, which knows not every model that can be measured. */
static void predicted(const struct plan *plan, struct json *json, const char *key,
                      int64_t number)
{
	json_known(json, key, plan->unknown ? -1 : number);
}

static void json_numbers(const struct plan *plan, struct json *json)
{
	const struct formula *f = &plan->formula;

	predicted(plan, json, "parameters", f->parameters);
	predicted(plan, json, "trainable", f->trainable);
	predicted(plan, json, "parameter_bytes", f->bucket[FORMULA_PARAMETER]);
	predicted(plan, json, "gradient_bytes", f->bucket[FORMULA_GRADIENT]);
	predicted(plan, json, "optimizer_bytes", f->bucket[FORMULA_OPTIMIZER]);
	predicted(plan, json, "activation_bytes", f->bucket[FORMULA_ACTIVATION]);
	predicted(plan, json, "overhead_bytes", f->bucket[FORMULA_OVERHEAD]);
	predicted(plan, json, "total_bytes", f->total);
	predicted(plan, json, "least_total_bytes", plan->least);
	json_peak(json, plan);
	predicted(plan, json, "host_bytes", f->bucket[FORMULA_HOST]);
	predicted(plan, json, "fixed_bytes", plan->fixed);
	predicted(plan, json, "sample_bytes", plan->sample);
	json_truth(json, "activations_known", f->activations_known);
}

static void json_training(const struct plan *plan, struct json *json)
{
	const struct training *t = &plan->training;

	enum task task = plan->model.known ? task_of(&plan->model.shape) : TASK_COUNT;

	json_object(json, "training");
	json_text(json, "task", task == TASK_COUNT ? NULL : task_names[task]);
	json_text(json, "param_dtype", dtype_names[t->parameter]);
	json_text(json, "grad_dtype", dtype_names[t->gradient]);
	json_text(json, "master_dtype", dtype_names[t->master]);
	json_text(json, "state_dtype", dtype_names[t->state]);
	json_text(json, "activation_dtype", dtype_names[t->activation]);
	json_text(json, "optimizer",
	          t->inference ? NULL : optimizer_names[t->optimizer]);
	json_text(json, "optimizer_impl",
	          t->inference ? NULL : implementation_names[t->implementation]);
	json_truth(json, "clip", t->clip);
	json_number(json, "accumulate", t->accumulate);
	json_number(json, "batch", t->batch);
	if (plan->sequence_counts && t->seq)
		json_number(json, "seq", t->seq);
	else
		json_null(json, "seq");
	json_text(json, "checkpoint", checkpoint_names[t->checkpoint]);
	json_text(json, "attention", attention_names[t->attention]);
	json_text(json, "activation_formula", activations_names[t->activations]);
	json_number(json, "zero", t->zero);
	json_number(json, "world", t->world);
	json_end(json);
}

/* What the answer began with. */
static void json_traced(const struct plan *plan, struct json *json)
{
	const struct traced *traced = &plan->traced;

	json_object(json, "traced");
	json_number(json, "peak_allocated_bytes", traced->peak);
	json_text(json, "peak_phase", traced->phase);
	json_known(json, "peak_reserved_bytes", traced->reserved);
	json_known(json, "walk_peak_bytes", traced->walked ? traced->walk : -1);
	json_known(json, "batch", traced->batch_known ? traced->training.batch : -1);
	json_known(json, "seq", traced->seq_known ? traced->training.seq : -1);
	json_truth(json, "changed", traced->changed);
	json_end(json);
}

void plan_json(const struct plan *plan, FILE *out)
{
	const struct formula *f = &plan->formula;
	struct json json;

	json_begin(&json, out);
	json_head(&json, SCHEMA_USER_VERSION);
	json_text(&json, "model", plan->model.name);
	json_numbers(plan, &json);
	json_training(plan, &json);
	if (plan->traced.known)
		json_traced(plan, &json);
	json_terms(&json, f);
	json_number(&json, "context_bytes", plan->context);
	json_fits(&json, plan);
	if (plan->sweep.count)
		plan_sweep_json(plan, &json);
	if (plan->measured)
		plan_json_measured(plan, &json);
	json_array(&json, "notes");
	for (int i = 0; i < plan->note_count; i++)
		json_text(&json, NULL, plan->notes[i]);
	json_end(&json);
	json_end(&json);
}
