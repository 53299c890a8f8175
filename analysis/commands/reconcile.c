/* reconcile.c - `tidemark reconcile`: measured beside formula, bucket by bucket.
 * Called from: main.c. */
#include "by_device.h"
#include "command.h"
#include "fail.h"
#include "reconcile.h"
#include "term.h"

static void json_name(struct json *json, const char *key, const char *text)
{
	json_text(json, key, text && *text ? text : NULL);
}

/* Each batch that a shape told; where they differ, with the peak that it would have. */
static void json_claims(struct json *json, const struct recognised *recognised)
{
	static const char *const kinds[CLAIM_KINDS] = {"ids", "stream", "input"};

	json_array(json, "evidence");
	for (int i = 0; i < recognised->claim_count; i++) {
		const struct claim *claim = &recognised->claims[i];
		json_object(json, NULL);
		json_text(json, "of", kinds[claim->kind]);
		json_text(json, "shape", claim->from);
		json_number(json, "batch", claim->batch);
		json_known(json, "seq", claim->seq ? claim->seq : -1);
		json_truth(json, "rows_of_loss", claim->rows_agree);
		json_known(json, "peak_bytes", claim->peak);
		json_truth(json, "taken", i == recognised->taken);
		json_end(json);
	}
	json_end(json);
	json_known(json, "config_parameters",
	           recognised->config_parameters ? recognised->config_parameters : -1);
}

static void json_recognised(struct json *json, const struct recognised *recognised)
{
	const struct training *t = &recognised->training;

	json_object(json, "recognised");
	json_name(json, "model", recognised->class);
	json_text(json, "device", recognised->device->name);
	json_number(json, "parameters", recognised->model.parameters);
	json_number(json, "trainable", recognised->trainable);
	json_number(json, "tensors", recognised->tensors);
	json_text(json, "param_dtype", dtype_names[t->parameter]);
	json_text(json, "grad_dtype", dtype_names[t->gradient]);
	json_text(json, "state_dtype", dtype_names[t->state]);
	json_text(json, "activation_dtype", dtype_names[t->activation]);
	json_truth(json, "autocast", t->autocast);
	json_name(json, "optimizer_class", recognised->optimizer);
	json_text(json, "optimizer", optimizer_names[t->optimizer]);
	json_truth(json, "optimizer_by_its_states", recognised->by_states);
	if (recognised->batch_known)
		json_number(json, "batch", t->batch);
	else
		json_null(json, "batch");
	if (recognised->seq_known)
		json_number(json, "seq", t->seq);
	else
		json_null(json, "seq");
	json_name(json, "batch_from", recognised->batch_from);
	json_claims(json, recognised);
	json_truth(json, "recompute", recognised->recompute);
	json_text(json, "checkpoint", checkpoint_names[t->checkpoint]);
	json_text(json, "attention", attention_names[t->attention]);
	json_name(json, "shape_from", recognised->config);
	json_name(json, "no_shape", recognised->shapeless);
	json_truth(json, "activations_predicted", recognised->model.known);
	json_end(json);
}

/* "verdict": null where there is nothing to judge by. */
static void json_verdict(const struct reconciled *r, struct json *json)
{
	static const char *const names[] = {NULL, "agrees", "disagrees"};
	static const char *const bases[] = {NULL, "walk", "instant"};
	const struct verdict *verdict = &r->verdict;

	json_text(json, "verdict", names[verdict->kind]);
	json_known(json, "formula_peak_bytes", verdict->predicted);
	json_text(json, "formula_peak_basis", bases[verdict->basis]);
	json_array(json, "verdict_causes");
	for (int i = 0; i < verdict->count; i++) {
		json_object(json, NULL);
		json_text(json, "bucket",
		          trace_bucket(r->trace, verdict->causes[i].row));
		json_text(json, "cause", verdict->causes[i].text);
		json_number(json, "bytes", verdict->causes[i].bytes);
		json_end(json);
	}
	json_end(json);
}

void reconcile_json(const struct reconciled *r, struct json *json)
{
	json_object(json, NULL);
	json_text(json, "device", r->device->name);
	json_number(json, "step", r->point.step);
	json_text(json, "phase", trace_phase(r->trace, r->point.phase));
	json_number(json, "allocated_bytes", r->point.allocated);
	json_array(json, "rows");
	for (int i = 0; i < ROW_COUNT; i++) {
		const struct row *row = &r->rows[i];
		json_object(json, NULL);
		json_text(json, "bucket", trace_bucket(r->trace, i));
		json_number(json, "measured_bytes", row->measured);
		json_number(json, "predicted_bytes", row->predicted);
		json_array(json, "causes");
		for (size_t k = 0; k < row->count; k++) {
			json_object(json, NULL);
			json_text(json, "kind", cause_names[row->causes[k].kind]);
			json_text(json, "cause", row->causes[k].text);
			json_number(json, "bytes", row->causes[k].bytes);
			json_truth(json, "explained", !row->causes[k].bare);
			json_end(json);
		}
		json_end(json);
		json_end(json);
	}
	json_end(json);
	json_number(json, "unexplained_bytes", r->unexplained);
	json_verdict(r, json);
	json_end(json);
}

int cmd_reconcile(const struct options *options)
{
	const struct device *chief;
	struct recognised recognised;
	struct point point;
	struct by_device answer;
	bool agrees = true, judged = false;
	int status;

	by_device_open(&answer, options, 12);
	chief = trace_highest(answer.trace, answer.devices, answer.count, answer.step,
	                      &point);
	if (!chief)
		fail(STATUS_USAGE,
		     "'%s' has no step with device memory in it: nothing to reconcile; "
		     "CPU tensors are traced with 'tidemark run --cpu'",
		     answer.trace->name);
	reconcile_recognise(answer.trace, options, chief, &point, &recognised);
	by_device_begin(&answer);
	if (answer.json)
		json_recognised(answer.json, &recognised);
	by_device_devices(&answer);
	for (size_t i = 0; i < answer.count; i++) {
		struct reconciled result;
		if (!reconcile(answer.trace, &answer.devices[i], answer.step,
		               &recognised, &result))
			continue;
		by_device_next_device(&answer);
		if (answer.json)
			reconcile_json(&result, answer.json);
		else
			reconcile_print(&result, answer.top, answer.out);
		agrees &= result.verdict.kind != VERDICT_DISAGREES;
		judged |= result.verdict.kind != VERDICT_NONE;
		reconciled_free(&result);
	}
	status = by_device_close(&answer, NULL, "plan --trace", "peak");
	if (status || !options->value[OPT_CHECK]) {
		recognised_free(&recognised);
		return status;
	}
	if (!judged)
		fail(STATUS_NO, "nothing to judge by: %s",
		     *recognised.shapeless
		             ? recognised.shapeless
		             : "batch and sequence are not known; --batch "
		               "and --seq say them");
	recognised_free(&recognised);
	return agrees ? STATUS_DONE : STATUS_NO;
}
