/* timeline.c - `tidemark timeline`: allocated and reserved memory over time.
 * Called from: main.c. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "commands_queries.h"
#include "fail.h"
#include "heap.h"
#include "many.h"
#include "next.h"
#include "phases.h"
#include "replay.h"
#include "screen.h"
#include "steps.h"
#include "text.h"
#include "whole.h"

/* Every step, or the one that was asked for. Ids have no gaps, by construction. */
static void step_range(struct trace *trace, int64_t wish, int64_t *from, int64_t *to)
{
	*from = wish >= 0 ? wish : db_number(trace->db, 0, "SELECT min(id) FROM step");
	*to = wish >= 0 ? wish : db_number(trace->db, -1, "SELECT max(id) FROM step");
}

/* A step without rows still has its peak; the file says no more about it. */
static void csv_thinned(struct trace *trace, const struct step *step, bool wanted[])
{
	struct rows *rows = db_rows(trace->db, sql_device_peaks, "i", step->id);
	while (rows_next(rows))
		for (size_t d = 0; d < trace->device_count; d++)
			if (wanted[d] && trace->devices[d].id == rows_number(rows, 0))
				printf("%" PRId64 ",%" PRId64 ",%" PRId64
				       ",%s,%s,%" PRId64 ",%" PRId64 "\n",
				       rows_number(rows, 1), step->id,
				       rows_number(rows, 2), trace->devices[d].name,
				       trace_phase(trace, rows_number(rows, 3)),
				       rows_number(rows, 4), rows_number(rows, 5));
}

static int csv(struct trace *trace, bool wanted[], int64_t wish)
{
	struct reserved *reserved = allocate(trace->device_count * sizeof(*reserved));
	int64_t *level = allocate(trace->device_count * sizeof(*level));
	struct replay replay = {.pattern = -1};
	int64_t from, to, thinned = 0;

	step_range(trace, wish, &from, &to);
	for (size_t d = 0; d < trace->device_count; d++)
		reserved_load(trace, trace->devices[d].id, &reserved[d]);
	puts("time_ns,step,ordinal,device,phase,allocated_bytes,reserved_bytes");
	for (int64_t id = from; id <= to && !ferror(stdout); id++) {
		struct step step = trace_step(trace, id);
		size_t count;
		const struct event *events = replay_step(trace, &replay, &step, &count);
		if (step.thinned) {
			csv_thinned(trace, &step, wanted);
			thinned++;
		}
		for (size_t d = 0; d < trace->device_count; d++)
			level[d] = replay_start(trace, id, trace->devices[d].id);
		for (size_t i = 0; i < count; i++) {
			int32_t d = events[i].device;
			if (d < 0 || !wanted[d])
				continue;
			level[d] += events[i].bytes;
			printf("%" PRId64 ",%" PRId64 ",%" PRId64 ",%s,%s,%" PRId64
			       ",%" PRId64 "\n",
			       events[i].time_ns, id, events[i].ordinal,
			       trace->devices[d].name,
			       trace_phase(trace, events[i].phase), level[d],
			       reserved_at(&reserved[d], id, events[i].ordinal));
		}
	}
	if (thinned)
		note("the events of %s were dropped to keep the file small; each has "
		     "one line, its peak",
		     text_plural(thinned, "step").s);
	for (size_t d = 0; d < trace->device_count; d++)
		reserved_free(&reserved[d]);
	replay_free(&replay);
	free(reserved);
	free(level);
	return screen_flush();
}

static int column_of(const struct step *step, int64_t time_ns, int columns)
{
	double length = (double)(step->end_ns - step->start_ns);
	double passed = (double)(time_ns - step->start_ns);
	return length > 0 ? (int)whole_within(passed / length * columns, 0, columns - 1)
	                  : 0;
}

static void raise_to(int64_t *value, int64_t bytes)
{
	*value = bytes > *value ? bytes : *value;
}

/* Each column shows the most that was allocated in its stretch of time, so that the
 * peak is never between two columns. */
static void draw(struct trace *trace, size_t device, const struct step *step,
                 const struct event *events, size_t count, struct chart *chart)
{
	int64_t level = replay_start(trace, step->id, trace->devices[device].id), held;
	struct reserved reserved;
	int at = 0;

	reserved_load(trace, trace->devices[device].id, &reserved);
	held = reserved_at(&reserved, step->id, 0);
	raise_to(&chart->value[0], level);
	raise_to(&chart->line[0], held);
	for (size_t i = 0; i < count; i++) {
		int column = column_of(step, events[i].time_ns, chart->columns);
		while (at < column) {
			at++;
			chart->value[at] = level;
			chart->line[at] = held;
		}
		if (events[i].device != (int32_t)device)
			continue;
		level += events[i].bytes;
		held = reserved_at(&reserved, step->id, events[i].ordinal);
		raise_to(&chart->value[at], level);
		raise_to(&chart->line[at], held);
	}
	while (++at < chart->columns) {
		chart->value[at] = level;
		chart->line[at] = held;
	}
	reserved_free(&reserved);
}

/* A program that waits, or ends, behind the last event of a step would press what happened before
 * into a few columns: where that is more than a quarter of the step the chart ends before it.
 * Returns the nanoseconds that are not drawn. */
static int64_t drop_quiet_end(struct step *step, const struct event *events,
                              size_t count)
{
	int64_t length = step->end_ns - step->start_ns, shown, pattern;

	if (!count || length <= 0)
		return 0;
	shown = events[count - 1].time_ns - step->start_ns;
	if (shown <= 0 || shown >= length - length / 4)
		return 0;
	pattern = step->pattern_end_ns - step->pattern_start_ns;
	step->pattern_end_ns =
	        step->pattern_start_ns +
	        whole_of((double)pattern * (double)shown / (double)length);
	step->end_ns = step->start_ns + shown;
	return length - shown;
}

/* Below the phases: how long the step took, by the clock, and what the marks mean. */
static void print_times(const struct trace *trace, const struct chart *chart,
                        const struct step *step, int64_t quiet_ns, FILE *out)
{
	char *end = copy_text(text_duration(step->end_ns - step->start_ns).s);

	chart_ends(chart, "0 s", end, out);
	free(end);
	chart_legend("allocated", "reserved", out);
	if (quiet_ns)
		fprintf(out,
		        "%*snothing was allocated or freed in the last %s of the "
		        "step\n",
		        CHART_LEFT, "", text_duration(quiet_ns).s);
	if (trace->simulated)
		fprintf(out, "%*stimes are those of the simulation, not of a card\n",
		        CHART_LEFT, "");
}

static void print_step(struct trace *trace, size_t device, int64_t wish, FILE *out)
{
	struct chart chart = {.rows = 10};
	struct replay replay = {.pattern = -1};
	struct phases phases;
	struct point point;
	struct step step;
	size_t count;
	int64_t quiet_ns;

	if (!trace_peak(trace, trace->devices[device].id, wish, &point))
		return;
	step = trace_step(trace, point.step);
	fprintf(out, "%sTIMELINE%s  %s %s step %s %s %s\n", style(BOLD), style(PLAIN),
	        trace->devices[device].name, sign(DOT), text_count(step.id).s,
	        sign(DOT), text_duration(step.end_ns - step.start_ns).s);
	fprintf(out, "          peak %s%s%s at %s, in %s%s%s", style(BOLD),
	        text_size(point.allocated).s, style(PLAIN),
	        text_duration(point.time_ns - step.start_ns).s,
	        style(phase_style(trace_phase(trace, point.phase))),
	        trace_phase(trace, point.phase), style(PLAIN));
	if (step.pattern != step.id)
		fprintf(out, " %s events as in step %s", sign(DOT),
		        text_count(step.pattern).s);
	fputs("\n\n", out);
	const struct event *events = replay_step(trace, &replay, &step, &count);
	if (step.thinned) {
		fputs("  the events of this step were dropped to keep the file small\n",
		      out);
		return;
	}
	quiet_ns = drop_quiet_end(&step, events, count);
	chart.columns = chart_width();
	draw(trace, device, &step, events, count, &chart);
	phases_load(trace, &step, events, count, chart.columns, &phases);
	for (int c = 0; c < chart.columns; c++)
		chart.style[c] = phase_style(trace_phase(trace, phases.column[c]));
	chart_print(&chart, out);
	phases_print(trace, &chart, &phases, out);
	print_times(trace, &chart, &step, quiet_ns, out);
	replay_free(&replay);
}

static void json_points(struct trace *trace, size_t device, const struct step *step,
                        struct json *json)
{
	int64_t level = replay_start(trace, step->id, trace->devices[device].id);
	struct replay replay = {.pattern = -1};
	struct reserved reserved;
	size_t count;
	const struct event *events = replay_step(trace, &replay, step, &count);

	reserved_load(trace, trace->devices[device].id, &reserved);
	json_array(json, "points");
	for (size_t i = 0; i < count; i++) {
		if (events[i].device != (int32_t)device)
			continue;
		level += events[i].bytes;
		json_object(json, NULL);
		json_number(json, "time_ns", events[i].time_ns);
		json_number(json, "ordinal", events[i].ordinal);
		json_text(json, "phase", trace_phase(trace, events[i].phase));
		json_number(json, "allocated_bytes", level);
		json_number(json, "reserved_bytes",
		            reserved_at(&reserved, step->id, events[i].ordinal));
		json_end(json);
	}
	json_end(json);
	reserved_free(&reserved);
	replay_free(&replay);
}

static void json_step(struct trace *trace, size_t device, int64_t wish,
                      struct json *json)
{
	struct point point;
	struct step step;

	if (!trace_peak(trace, trace->devices[device].id, wish, &point))
		return;
	step = trace_step(trace, point.step);
	json_object(json, NULL);
	json_text(json, "device", trace->devices[device].name);
	json_number(json, "step", step.id);
	if (step.pattern == step.id)
		json_null(json, "same_as");
	else
		json_number(json, "same_as", step.pattern);
	json_truth(json, "thinned", step.thinned);
	json_number(json, "start_ns", step.start_ns);
	json_number(json, "end_ns", step.end_ns);
	json_number(json, "peak_allocated_bytes", point.allocated);
	json_number(json, "start_allocated_bytes",
	            replay_start(trace, step.id, trace->devices[device].id));
	json_points(trace, device, &step, json);
	json_end(json);
}

static int answer_json(struct trace *trace, bool wanted[], int64_t wish, bool steps)
{
	FILE *out = screen_open();
	struct json json;

	json_begin(&json, out);
	trace_json_head(trace, &json);
	json_array(&json, "devices");
	for (size_t d = 0; d < trace->device_count; d++) {
		if (!wanted[d])
			continue;
		if (steps)
			steps_json(trace, &trace->devices[d], &json);
		else
			json_step(trace, d, wish, &json);
	}
	json_end(&json);
	json_end(&json);
	return screen_close(out);
}

static int answer_text(struct trace *trace, bool wanted[], int64_t wish, bool steps)
{
	FILE *out = screen_open();

	for (size_t d = 0, shown = 0; d < trace->device_count; d++) {
		if (!wanted[d])
			continue;
		if (shown++)
			fputc('\n', out);
		if (steps) {
			fprintf(out, "%sTIMELINE%s  %s %s the peak of each step\n\n",
			        style(BOLD), style(PLAIN), trace->devices[d].name,
			        sign(DOT));
			steps_print(trace, &trace->devices[d], 10, out);
			steps_buckets(trace, &trace->devices[d], out);
		} else {
			print_step(trace, d, wish, out);
		}
	}
	if (!trace->device_count)
		fputs("no device memory was allocated through PyTorch\n", out);
	next_commands(trace, out, "peak", steps ? "timeline" : "timeline --steps");
	return screen_close(out);
}

int cmd_timeline(const struct options *options)
{
	bool steps = options->value[OPT_STEPS];
	int64_t wish = -1;
	struct trace *trace;
	struct device *first;
	size_t count;
	bool *wanted;
	int status;

	if (many_named(options))
		return many_answer(options, JOB_TIMELINE);
	option_number(options, OPT_STEP, &wish);
	if (steps && wish >= 0)
		fail(STATUS_USAGE,
		     "'--steps' is about all steps and '--step' about one; choose one");
	trace = trace_open(options_file(options));
	if (wish >= 0)
		trace_step(trace, wish); /* ends here where there is none */
	first = trace_devices(trace, options->value[OPT_DEVICE], &count);
	wanted = allocate(trace->device_count * sizeof(*wanted));
	for (size_t i = 0; i < count; i++)
		wanted[first - trace->devices + (ptrdiff_t)i] = true;
	if (options->value[OPT_CSV])
		status = csv(trace, wanted, wish);
	else if (options->value[OPT_JSON])
		status = answer_json(trace, wanted, wish, steps);
	else
		status = answer_text(trace, wanted, wish, steps);
	free(wanted);
	trace_close(trace);
	return status;
}
