/* oom_json.c - what `tidemark oom --json` says of one refused allocation.
 * Called from: commands/oom.c. */
#include "advice_queries.h"
#include "alive.h"
#include "oom_answer.h"

#include <stdlib.h>

static void write_request(const struct answer *answer, struct json *json)
{
	const struct oom *oom = answer->oom;
	const struct site *site = oom->place;

	json_text(json, "op", site ? site->op : NULL);
	json_text(json, "module", site ? site->module : NULL);
	json_text(json, "shape", site ? site->shape : NULL);
	json_text(json, "dtype", site ? site->dtype : NULL);
	line_json(json, "line", &oom->line);
	json_truth(json, "line_is_caller", oom->line_is_caller);
	stack_json(answer->trace, json, "stack", site ? site->stack : -1);
	if (site && site->native_stack >= 0)
		stack_json(answer->trace, json, "native_stack", site->native_stack);
}

static void write_live(const struct answer *answer, int64_t top, struct json *json)
{
	struct groups groups;

	groups_make(answer->trace, answer->places, &answer->oom->live, BY_BUCKET,
	            &groups);
	json_array(json, "by_bucket");
	for (size_t i = 0; i < groups.count; i++) {
		json_object(json, NULL);
		json_text(json, "bucket", groups.groups[i].bucket);
		json_number(json, "bytes", groups.groups[i].bytes);
		json_number(json, "blocks", groups.groups[i].blocks);
		json_end(json);
	}
	json_end(json);
	groups_free(&groups);
	groups_make(answer->trace, answer->places, &answer->oom->live, BY_ALL, &groups);
	json_array(json, "live");
	for (size_t i = 0; i < groups.count && (int64_t)i < top; i++)
		group_json(answer->trace, json, &groups.groups[i]);
	json_end(json);
	groups_free(&groups);
}

static void write_steps(const struct answer *answer, struct json *json)
{
	const struct moment *moment = &answer->oom->moment;
	struct rows *rows = db_rows(answer->trace->db, sql_earlier_steps, "ii",
	                            moment->device->id, moment->step.id);
	json_array(json, "earlier_steps");
	while (rows_next(rows)) {
		json_object(json, NULL);
		json_number(json, "step", rows_number(rows, 0));
		json_number(json, "start_allocated_bytes", rows_number(rows, 1));
		json_number(json, "peak_allocated_bytes", rows_number(rows, 2));
		json_text(json, "phase",
		          trace_phase(answer->trace, rows_number(rows, 3)));
		json_end(json);
	}
	json_end(json);
	json_known(json, "compared_with_step", answer->oom->forecast.step);
	json_array(json, "differences");
	for (size_t i = 0; i < answer->differences.count; i++) {
		const struct difference *d = &answer->differences.list[i];
		const struct group *group = d->here ? d->here : d->there;
		json_object(json, NULL);
		json_number(json, "bytes", d->bytes);
		json_text(json, "bucket", group->bucket);
		json_text(json, "module", group->module);
		json_text(json, "op", group->op);
		json_text(json, "shape", d->here ? d->here->shape : NULL);
		json_text(json, "shape_before", d->there ? d->there->shape : NULL);
		json_end(json);
	}
	json_end(json);
}

static void write_verified(const struct verified *verified, struct json *json)
{
	if (!verified->ran) {
		json_null(json, "verified");
		if (verified->why)
			json_text(json, "not_verified", verified->why);
		return;
	}
	json_object(json, "verified");
	json_truth(json, "fits", verified->fits);
	json_number(json, "peak_allocated_bytes", verified->peak);
	if (!verified->fits) {
		json_number(json, "step", verified->step);
		json_text(json, "phase", verified->phase);
	}
	if (verified->until)
		json_number(json, "ended_after_step", verified->until);
	json_end(json);
}

static void write_lever(struct trace *trace, const struct lever *lever,
                        struct json *json)
{
	json_object(json, NULL);
	json_text(json, "lever", lever->lever);
	json_text(json, "id", lever->id);
	json_text(json, "change", lever->change);
	if (lever->value)
		json_number(json, "value", lever->value);
	json_number(json, "saves_bytes", lever->saves);
	json_known(json, "peak_bytes", lever->peak);
	json_known(json, "peak_step", lever->peak_step);
	json_text(json, "peak_phase",
	          lever->peak_step < 0 ? NULL : trace_phase(trace, lever->peak_phase));
	json_truth(json, "peak_is_least", lever->at_least);
	json_truth(json, "enough", lever->mark == MARK_FITS);
	json_text(json, "mark", mark_names[lever->mark]);
	json_text(json, "why", lever->why);
	json_text(json, "basis", lever->basis);
	json_text(json, "file", lever->line.file);
	json_known(json, "line", lever->line.file ? lever->line.number : -1);
	json_truth(json, "fault", lever->fault);
	write_verified(&lever->verified, json);
	json_end(json);
}

static void write_levers(const struct answer *answer, struct json *json)
{
	const struct levers *levers = &answer->levers;

	json_object(json, "replay");
	json_number(json, "samples", levers->samples);
	json_number(json, "differing_samples", levers->differing);
	json_known(json, "peak_allocated_bytes", levers->peak);
	json_text(json, "doubt", levers->doubt);
	json_text(json, "unknown", levers->unknown);
	json_text(json, "told_from", levers->told_from);
	json_known(json, "told_step", levers->told_step);
	json_end(json);
	json_array(json, "levers");
	for (size_t i = 0; i < levers->count; i++)
		write_lever(answer->trace, &levers->list[i], json);
	json_end(json);
}

static void write_figures(const struct oom *oom, struct json *json)
{
	char *why = verdict_text(oom);

	json_number(json, "requested_bytes", oom->requested);
	json_number(json, "segment_bytes", oom->segment);
	json_number(json, "allocated_bytes", oom->moment.allocated);
	json_known(json, "reserved_bytes", oom->moment.reserved);
	json_known(json, "device_free_bytes", oom->free);
	json_known(json, "device_total_bytes", oom->moment.total);
	json_number(json, "largest_free_block_bytes", oom->hole);
	json_number(json, "cached_bytes", oom->cached);
	json_text(json, "segments", segments_states[oom->segments.state]);
	json_truth(json, "expandable", oom->segments.expandable);
	json_text(json, "verdict", verdict_names[oom->verdict]);
	json_text(json, "why", why);
	json_known(json, "outside_bytes", oom->outside);
	json_array(json, "processes");
	for (size_t i = 0; i < oom->processes.count; i++) {
		const struct process *process = &oom->processes.of[i];
		json_object(json, NULL);
		if (process->pid < 0)
			json_null(json, "pid");
		else
			json_number(json, "pid", process->pid);
		json_number(json, "about_bytes", process->bytes);
		json_end(json);
	}
	json_end(json);
	json_number(json, "lacking_bytes", oom->lacking);
	json_number(json, "would_have_grown_bytes", oom->forecast.growth);
	free(why);
}

void answer_json(const struct answer *answer, int64_t top, struct json *json)
{
	const struct oom *oom = answer->oom;

	json_object(json, NULL);
	json_text(json, "device", oom->moment.device->name);
	json_number(json, "step", oom->moment.step.id);
	json_text(json, "phase", trace_phase(answer->trace, oom->moment.phase));
	json_truth(json, "fatal", oom->fatal);
	json_number(json, "time_ns", oom->moment.time_ns);
	json_text(json, "source", oom->source);
	json_text(json, "message", oom->message);
	write_figures(oom, json);
	write_request(answer, json);
	write_live(answer, top, json);
	write_steps(answer, json);
	write_levers(answer, json);
	json_end(json);
}
