/* findings.c - what a run has to say before its figures, the weightiest first: that it ran out of
 * memory, leaks, grows, is fragmented, or is not what the formula expects.
 * Called from: report.c. */
#include "findings.h"

#include <stdlib.h>

#include "disagreement.h"
#include "heap.h"
#include "segments.h"
#include "steps.h"
#include "text.h"
#include "within.h"

static const struct {
	const char *title, *name, *command;
} kinds[] = {
        [FOUND_LEAK] = {"GROWS", "leak", "leaks"},
        [FOUND_LOOP] = {"GROWS", "growth_in_step", "leaks"},
        [FOUND_GROWING] = {"STEPS GROW", "growing_steps", "timeline --steps"},
        [FOUND_FRAGMENTATION] = {"FRAGMENTED", "fragmentation", "fragmentation"},
        [FOUND_DISAGREES] = {"DISAGREES", "reconcile", "reconcile"},
};

/* text becomes the list's. */
static void add(struct findings *findings, struct found found)
{
	findings->list =
	        resize(findings->list, (findings->count + 1) * sizeof(*findings->list));
	findings->list[findings->count++] = found;
}

static void find_leak(struct trace *trace, const struct device *device,
                      const struct growth *growth, struct findings *findings)
{
	int64_t rate = growth_rate(growth);
	const struct site *root = places_site(growth->places, growth->root);
	char *chain = line_chain(trace, root ? root->stack : -1, 3);

	if (rate > 0)
		add(findings,
		    (struct found){
		            .kind = FOUND_LEAK,
		            .device = device,
		            .step = growth->to,
		            .bytes = rate,
		            .text = format_text("%s more is kept with every step%s%s",
		                                text_size(rate).s,
		                                *chain ? ", made at " : "", chain)});
	if (rate > 0 && !findings->rate)
		findings->rate = rate;
	free(chain);
}

static void find_loop(struct trace *trace, const struct device *device,
                      const struct places *places, struct findings *findings)
{
	struct within within;
	const struct site *site;
	char *chain;

	within_find(trace, places, device, &within);
	if (!within.turns)
		return;
	site = places_site(places, within.site);
	chain = line_chain(trace, site ? site->stack : -1, 3);
	add(findings,
	    (struct found){.kind = FOUND_LOOP,
	                   .device = device,
	                   .step = within.step,
	                   .bytes = within.rate,
	                   .text = format_text(
	                           "a loop inside step %s keeps %s more with every "
	                           "turn%s%s",
	                           text_count(within.step).s, text_size(within.rate).s,
	                           *chain ? ", made at " : "", chain)});
	free(chain);
}

/* Peaks may differ by a twentieth without a reason that anybody would look for. */
static void find_growing(struct trace *trace, const struct device *device,
                         struct findings *findings)
{
	enum { TWENTIETH = 20 };
	struct steps_growth growth;
	int64_t more;

	if (!steps_growth(trace, device, &growth))
		return;
	more = growth.late - growth.early;
	if (more <= growth.early / TWENTIETH)
		return;
	add(findings,
	    (struct found){
	            .kind = FOUND_GROWING,
	            .device = device,
	            .step = growth.late_step,
	            .bytes = more,
	            .text = format_text(
	                    "step %s peaks at %s, no step of the first half above "
	                    "%s; no block is kept from step to step",
	                    text_count(growth.late_step).s, text_size(growth.late).s,
	                    text_size(growth.early).s)});
}

static void find_fragmentation(struct trace *trace, const struct device *device,
                               struct findings *findings)
{
	enum { TENTH = 10 };
	struct wish wish = {.kind = MOMENT_PEAK, .number = -1};
	struct moment moment;
	struct segments segments;

	if (!moment_find(trace, device, &wish, &moment) || moment.reserved <= 0)
		return;
	segments_load(trace, &moment, &segments);
	if (segments.state == SEGMENTS_EXACT &&
	    segments.free_split > moment.reserved / TENTH)
		add(findings,
		    (struct found){
		            .kind = FOUND_FRAGMENTATION,
		            .device = device,
		            .step = moment.step.id,
		            .bytes = segments.free_split,
		            .text = format_text(
		                    "%s of the %s that are reserved at the peak "
		                    "(%s) are holes between blocks",
		                    text_size(segments.free_split).s,
		                    text_size(moment.reserved).s,
		                    text_percent(segments.free_split, moment.reserved)
		                            .s)});
	segments_free(&segments);
}

static void find_disagreement(struct trace *trace, const struct device *devices,
                              size_t count, struct findings *findings)
{
	struct disagreement away;

	if (disagreement_find(trace, devices, count, &away))
		add(findings, (struct found){.kind = FOUND_DISAGREES,
		                             .device = away.device,
		                             .step = away.step,
		                             .bytes = away.bytes,
		                             .text = away.text});
}

static int by_weight(const void *left, const void *right)
{
	const struct found *a = left, *b = right;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return a->bytes > b->bytes ? -1 : a->bytes < b->bytes;
}

void findings_load(struct trace *trace, const struct device *devices, size_t count,
                   struct findings *findings)
{
	*findings = (struct findings){.died = false};
	findings->died = brief_load(trace, &findings->brief);
	for (size_t i = 0; i < count; i++) {
		struct places places;
		struct growth growth;
		size_t before = findings->count;
		places_load(trace, devices[i].name, &places);
		growth_load(trace, &places, &devices[i], -1, &growth);
		if (growth.count)
			find_leak(trace, &devices[i], &growth, findings);
		find_loop(trace, &devices[i], &places, findings);
		if (findings->count == before)
			find_growing(trace, &devices[i], findings);
		find_fragmentation(trace, &devices[i], findings);
		growth_free(&growth);
		places_free(&places);
	}
	/* A run that was cut short never reached the peak that the formula is about. */
	if (!findings->died && !trace->running)
		find_disagreement(trace, devices, count, findings);
	if (findings->count)
		qsort(findings->list, findings->count, sizeof(*findings->list),
		      by_weight);
}

void findings_free(struct findings *findings)
{
	if (findings->died)
		brief_free(&findings->brief);
	for (size_t i = 0; i < findings->count; i++)
		free(findings->list[i].text);
	free(findings->list);
}

void findings_print(const struct findings *findings, FILE *out)
{
	enum { TITLE = 12 };

	if (findings->died)
		brief_print(&findings->brief, out);
	if (findings->died)
		fprintf(out, "  %-8s  see 'tidemark oom'\n", "");
	for (size_t i = 0; i < findings->count; i++) {
		const struct found *found = &findings->list[i];
		bool other = i && found->device != findings->list[0].device;
		char *text = format_text(
		        "%s%s%s; see 'tidemark %s'", other ? found->device->name : "",
		        other ? ": " : "", found->text, kinds[found->kind].command);
		fprintf(out, "%s%-*s%s", style(BOLD), TITLE, kinds[found->kind].title,
		        style(PLAIN));
		text_wrap(out, text, TITLE, TITLE);
		free(text);
	}
	if (findings->died || findings->count)
		fputc('\n', out);
}

void findings_json(const struct findings *findings, struct json *json)
{
	if (findings->died)
		brief_json(&findings->brief, "out_of_memory", json);
	else
		json_null(json, "out_of_memory");
	json_number(json, "growth_bytes_per_step", findings->rate);
	json_array(json, "findings");
	for (size_t i = 0; i < findings->count; i++) {
		const struct found *found = &findings->list[i];
		json_object(json, NULL);
		json_text(json, "finding", kinds[found->kind].name);
		json_text(json, "device", found->device->name);
		json_known(json, "step", found->step);
		json_number(json, "bytes", found->bytes);
		json_text(json, "text", found->text);
		json_text(json, "command", kinds[found->kind].command);
		json_end(json);
	}
	json_end(json);
}

const char *findings_command(const struct findings *findings)
{
	if (findings->died)
		return "oom";
	if (!findings->count || findings->list[0].kind >= FOUND_FRAGMENTATION)
		return "peak";
	return kinds[findings->list[0].kind].command;
}
