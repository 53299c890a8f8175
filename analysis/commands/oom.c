/* oom.c - `tidemark oom`: why it ran out of memory, and what would make it fit.
 * Called from: main.c. */
#include "command.h"
#include "losses.h"
#include "many.h"
#include "next.h"
#include "oom_answer.h"
#include "replayed.h"
#include "screen.h"
#include "stack.h"
#include "text.h"
#include "verify.h"
#include "trace_queries.h"

#include <stdlib.h>

struct asked {
	struct trace *trace;
	const struct options *options;
	int64_t step, top;
	struct json *json; /* NULL: the screen */
	FILE *out;
	size_t shown;
};

static void answer_device(struct asked *asked, const struct device *device)
{
	struct places places;
	struct growth growth;
	size_t count;

	places_load(asked->trace, device->name, &places);
	growth_load(asked->trace, &places, device, -1, &growth);
	struct oom *ooms =
	        ooms_load(asked->trace, &places, device, asked->step, &count);
	for (size_t i = 0; i < count; i++) {
		struct answer answer;
		/* On the screen the last one is the story; the others are a line. */
		if (!asked->json && i + 1 < count)
			continue;
		answer_make(asked->trace, &places, &growth, &ooms[i], &answer);
		/* Earlier ones were survived. */
		if (asked->options->value[OPT_VERIFY] && i + 1 == count) {
			verify_levers(asked->trace, &ooms[i], &answer.levers,
			              asked->options);
			levers_sort(&answer.levers);
		}
		if (asked->json)
			answer_json(&answer, asked->top, asked->json);
		else
			fputs(asked->shown ? "\n" : "", asked->out),
			        answer_print(&answer, asked->top, asked->out);
		answer_free(&answer);
		asked->shown++;
	}
	if (!asked->json && count > 1)
		fprintf(asked->out, "\n  %s before this one; --json tells of each\n",
		        text_plural((int64_t)count - 1, "OOM").s);
	ooms_free(ooms, count);
	growth_free(&growth);
	places_free(&places);
}

/* How far the model of the allocator has the run's own reserved bytes. */
static void agreement_json(struct asked *asked, const struct device *device)
{
	struct script script;
	struct rules rules;
	struct agreement agreement;

	replay_load(asked->trace, device, -1, &rules, &script, &agreement);
	json_object(asked->json, "replay");
	json_number(asked->json, "samples", agreement.samples);
	json_number(asked->json, "differing_samples", agreement.differing);
	json_number(asked->json, "worst_bytes", agreement.worst);
	json_text(asked->json, "doubt", *agreement.why ? agreement.why : NULL);
	json_end(asked->json);
	script_free(&script);
}

/* How close a run came that never ran out. */
static void headroom(struct asked *asked, const struct device *device)
{
	int64_t used = -1, total = device->total_bytes;
	struct point point;
	struct rows *rows = db_rows(asked->trace->db, sql_most_used, "i", device->id);
	if (rows_next(rows)) {
		used = rows_number_or(rows, 1, -1);
		total = rows_number_or(rows, 2, total);
		rows_free(rows);
	}
	if (!trace_peak(asked->trace, device->id, asked->step, &point))
		return;
	if (asked->json) {
		json_object(asked->json, NULL);
		json_text(asked->json, "device", device->name);
		json_number(asked->json, "peak_allocated_bytes", point.allocated);
		if (used >= 0 && total > 0) {
			json_number(asked->json, "peak_device_bytes", used);
			json_number(asked->json, "device_total_bytes", total);
			json_number(asked->json, "headroom_bytes", total - used);
		}
		agreement_json(asked, device);
		json_end(asked->json);
		return;
	}
	fprintf(asked->out, "  %-8s peak %s allocated, in step %s, %s\n", device->name,
	        text_size(point.allocated).s, text_count(point.step).s,
	        trace_phase(asked->trace, point.phase));
	if (used >= 0 && total > 0)
		fprintf(asked->out,
		        "           at most %s of %s in use: %s were left\n",
		        text_size(used).s, text_size(total).s,
		        text_size(total - used).s);
}

static void headrooms(struct asked *asked, const struct device *devices, size_t count)
{
	if (asked->json)
		json_array(asked->json, "headroom");
	else if (asked->shown)
		return;
	else if (asked->step >= 0)
		fprintf(asked->out, "No allocation was refused in step %s.\n",
		        text_count(asked->step).s);
	else
		fputs("No allocation was refused in this run.\n", asked->out);
	for (size_t i = 0; i < count; i++)
		headroom(asked, &devices[i]);
	if (asked->json)
		json_end(asked->json);
}

int cmd_oom(const struct options *options)
{
	bool as_json = options->value[OPT_JSON];
	struct asked asked = {.options = options,
	                      .step = -1,
	                      .top = option_rows(options, as_json ? INT64_MAX : 6)};
	struct device *devices;
	struct json json;
	size_t count;

	if (many_named(options))
		return many_answer(options, JOB_OOM);
	option_number(options, OPT_STEP, &asked.step);
	asked.trace = trace_open(options_file(options));
	if (asked.step >= 0)
		trace_step(asked.trace, asked.step); /* ends here where there is none */
	devices = trace_devices(asked.trace, options->value[OPT_DEVICE], &count);
	asked.out = screen_open();
	if (as_json) {
		asked.json = &json;
		json_begin(&json, asked.out);
		struct losses losses = losses_count(asked.trace);
		trace_json_head(asked.trace, &json);
		json_number(&json, "lost_events", losses.events);
		json_number(&json, "mismatches", losses.mismatches);
		json_array(&json, "events");
	}
	for (size_t i = 0; i < count; i++)
		answer_device(&asked, &devices[i]);
	if (as_json)
		json_end(&json);
	headrooms(&asked, devices, count);
	if (as_json && asked.trace->said.count)
		frames_json(asked.trace, &json);
	if (as_json)
		json_end(&json);
	else
		next_commands(asked.trace, asked.out,
		              asked.shown ? "buckets --at oom" : "peak",
		              asked.shown ? "leaks" : "report");
	trace_close(asked.trace);
	return screen_close(asked.out);
}
