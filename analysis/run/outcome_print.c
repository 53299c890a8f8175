/* outcome_print.c - the verdict on simulated cards, on the screen and as JSON.
 * Called from: commands/simulate.c. */
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "file.h"
#include "heap.h"
#include "outcome.h"
#include "text.h"
#include "trace.h"
#include "tracing.h"

static const char *word(const struct outcome *outcome)
{
	static const char *const words[] = {"fits", "does not fit", "no answer"};
	return words[outcome->fit];
}

static const char *said(const struct outcome *outcome)
{
	return outcome_barely(outcome) ? "fits, barely" : word(outcome);
}

static void print_verdict(const struct outcome *outcome, FILE *out)
{
	bool fits = outcome->fit == FITS;
	fprintf(out, "%s%s%s %s%s", style(BOLD), style(fits ? GREEN : RED),
	        sign(fits ? CHECK : CROSS), said(outcome), style(PLAIN));
}

static void print_size(FILE *out, const char *name, int64_t bytes)
{
	fprintf(out, "  %-16s%10s", name, text_size(bytes).s);
}

/* Where the program stopped, and at which of its lines. */
static void print_stop(const struct outcome *outcome, FILE *out)
{
	char *line = line_text(&outcome->line);

	fprintf(out, "  it ran out of memory in step %s, %s",
	        text_count(outcome->step).s, outcome->phase ? outcome->phase : "other");
	if (outcome->line.file)
		fprintf(out, ", at %s", line);
	fprintf(out, ":\n          it asked for %s more, with %s allocated\n",
	        text_size(outcome->requested).s, text_size(outcome->live).s);
	free(line);
}

static void print_one(const struct outcome *outcome, FILE *out)
{
	int64_t left = outcome->total - outcome->used;

	print_size(out, "peak allocated", outcome->allocated);
	if (outcome->ran_out)
		fprintf(out, "\n");
	else
		fprintf(out, "   in %s%s%s, step %s\n",
		        style(phase_style(outcome->phase)), outcome->phase,
		        style(PLAIN), text_count(outcome->step).s);
	print_size(out, "peak reserved", outcome->reserved);
	fputc('\n', out);
	print_size(out, "peak device", outcome->used);
	fprintf(out, "   %s of %s\n", text_percent(outcome->used, outcome->total).s,
	        text_size(outcome->total).s);
	if (outcome->fit == FITS)
		print_size(out, "headroom", left), fputc('\n', out);
	if (outcome->ran_out)
		print_stop(outcome, out);
}

static void print_bound(const struct outcome *outcome, FILE *out)
{
	if (outcome->caught)
		fprintf(out, "  it also ran out of memory %s before, and went on\n",
		        outcome->caught == 1 ? "once"
		                             : text_plural(outcome->caught, "time").s);
	if (outcome_barely(outcome))
		fprintf(out,
		        "  it barely fits: less is left than the sizes that are "
		        "assumed, "
		        "of the CUDA\n  context (%s) and of what CUDA's libraries "
		        "take\n",
		        text_size(outcome->card->context_bytes).s);
	assumptions_print(&outcome->assumptions, out);
}

static void print_table(const struct outcome *outcomes, size_t count, FILE *out)
{
	static const char *const heads[] = {"card", "verdict",  "peak device",
	                                    "of",   "headroom", "basis"};
	struct table *table = table_new("<<>>><");

	for (int i = 0; i < 6; i++)
		table_cell(table, PLAIN, "%s", heads[i]);
	for (size_t i = 0; i < count; i++) {
		const struct outcome *outcome = &outcomes[i];
		bool known = outcome->fit != NO_ANSWER;
		table_cell(table, BOLD, "%s", outcome->card->gpu);
		table_cell(table, outcome->fit == FITS ? GREEN : RED, "%s %s",
		           sign(outcome->fit == FITS ? CHECK : CROSS), said(outcome));
		table_cell(table, PLAIN, "%s",
		           known ? text_size(outcome->used).s : sign(DASH));
		table_cell(table, PLAIN, "%s", text_size(outcome->total).s);
		table_cell(table, PLAIN, "%s",
		           outcome->fit == FITS
		                   ? text_size(outcome->total - outcome->used).s
		                   : sign(DASH));
		if (!known)
			table_cell(table, DIM, "%s", sign(DASH));
		else if (outcome->based_on)
			table_cell(table, DIM, "derived from %s",
			           outcome->based_on->gpu);
		else
			table_cell(table, PLAIN, "measured");
	}
	table_print(table, out, 2, true);
	table_free(table);
}

/* The runs behind a table, one line each. */
static void print_runs(const struct outcome *outcomes, size_t count, FILE *out)
{
	for (size_t i = 0; i < count; i++) {
		const struct outcome *outcome = &outcomes[i];
		if (outcome->based_on || outcome->fit == NO_ANSWER)
			continue;
		fprintf(out, "\n%s%s%s\n", style(BOLD), outcome->card->gpu,
		        style(PLAIN));
		if (outcome->ran_out)
			print_stop(outcome, out);
		else
			fprintf(out,
			        "  peak allocated %s, reserved %s, in %s, step %s\n",
			        text_size(outcome->allocated).s,
			        text_size(outcome->reserved).s, outcome->phase,
			        text_count(outcome->step).s);
		print_bound(outcome, out);
	}
}

void outcomes_print(const struct outcome *outcomes, size_t count, FILE *out)
{
	const struct outcome *first = outcomes;

	fprintf(out, "\n%sSIMULATED%s  ", style(BOLD), style(PLAIN));
	if (count == 1) {
		fprintf(out, "%s %s %s  ",
		        first->card->product ? first->card->product : first->card->gpu,
		        sign(DOT), text_size(first->total).s);
		print_verdict(first, out);
		fputs("\n\n", out);
		print_one(first, out);
		print_bound(first, out);
	} else {
		fprintf(out, "%s\n\n", text_plural((int64_t)count, "card").s);
		print_table(outcomes, count, out);
		print_runs(outcomes, count, out);
	}
}

void outcomes_next(const struct outcome *first, FILE *out)
{
	if (quiet || !first->trace)
		return;
	fprintf(out, "\n  %snext     %stidemark %s %s\n", style(DIM), style(PLAIN),
	        first->ran_out ? "oom" : "peak", tracing_shorter(first->trace));
}

/* Null where nothing is known: a run that failed by itself says nothing of memory. */
static void number(struct json *json, const char *key, bool known, int64_t value)
{
	if (known)
		json_number(json, key, value);
	else
		json_null(json, key);
}

static void json_outcome(const struct outcome *outcome, struct json *json)
{
	bool known = outcome->fit != NO_ANSWER, seen = !outcome->no_trace;

	json_object(json, NULL);
	json_text(json, "gpu", outcome->card->gpu);
	json_text(json, "product", outcome->card->product);
	json_text(json, "verdict", known ? word(outcome) : NULL);
	json_truth(json, "barely", outcome_barely(outcome));
	json_text(json, "bound",
	          seen ? assumptions_bound(&outcome->assumptions) : NULL);
	json_text(json, "basis",
	          !known              ? NULL
	          : outcome->based_on ? "derived"
	                              : "measured");
	json_text(json, "based_on", outcome->based_on ? outcome->based_on->gpu : NULL);
	number(json, "peak_allocated_bytes", seen, outcome->allocated);
	number(json, "peak_reserved_bytes", seen, outcome->reserved);
	number(json, "peak_device_bytes", seen, outcome->used);
	json_number(json, "device_total_bytes", outcome->total);
	number(json, "headroom_bytes", seen, outcome->total - outcome->used);
	json_text(json, "phase", outcome->phase);
	number(json, "step", seen, outcome->step);
	json_text(json, "device", outcome->device);
	number(json, "requested_bytes", outcome->ran_out, outcome->requested);
	line_json(json, "line", &outcome->line);
	json_number(json, "caught_ooms", outcome->caught);
	assumptions_json(&outcome->assumptions, json);
	json_number(json, "exit_status", outcome->status);
	json_text(json, "trace", outcome->trace);
	json_end(json);
}

void outcomes_json(const struct outcome *outcomes, size_t count,
                   const struct with *with, FILE *out)
{
	struct json json;

	json_begin(&json, out);
	json_head(&json, SCHEMA_USER_VERSION);
	json_array(&json, "gpus");
	for (size_t i = 0; i < count; i++)
		json_outcome(&outcomes[i], &json);
	json_end(&json);
	if (with->count)
		with_json(with, &json);
	json_end(&json);
}
