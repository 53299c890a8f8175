/* report.c - `tidemark report`: the run on one screen.
 * Called from: main.c. */
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "commands_queries.h"
#include "fail.h"
#include "findings.h"
#include "heap.h"
#include "losses.h"
#include "many.h"
#include "next.h"
#include "screen.h"
#include "steps.h"
#include "text.h"
#include "trace.h"

/* The run's row, by column name, as text and number. */
enum run_field {
	COMMAND,
	SCRIPT,
	CWD,
	HOST,
	PID,
	RANK,
	LOCAL_RANK,
	WORLD_SIZE,
	STARTED,
	ENDED_NS,
	ENDED,
	EXIT_STATUS,
	PYTHON,
	TORCH,
	CUDA,
	RUNTIME,
	DRIVER,
	SIMULATED,
	STACKS,
	CPU,
	MODEL,
	OPTIMIZER,
	TRACER,
	FIELDS
};
static const struct {
	const char *key;
	bool number;
} run_fields[FIELDS] = {
        {"command", false},
        {"script", false},
        {"cwd", false},
        {"host", false},
        {"pid", true},
        {"rank", true},
        {"local_rank", true},
        {"world_size", true},
        {"started_unix_ns", true},
        {"ended_ns", true},
        {"ended", false},
        {"exit_status", true},
        {"python_version", false},
        {"torch_version", false},
        {"cuda_version", false},
        {"cuda_runtime", true},
        {"cuda_driver", true},
        {"simulated", true},
        {"stacks", false},
        {"cpu", true},
        {"model_class", false},
        {"optimizer_class", false},
        {"tidemark_version", false},
};

struct run {
	char *text[FIELDS]; /* NULL where the trace says nothing */
	int64_t duration_ns, steps, micro_steps;
	int64_t step_ns; /* the middle one of the complete steps' durations; -1: none */
};

static void run_load(struct trace *trace, struct run *run)
{
	char sql[1024] = "SELECT ";
	struct rows *rows;

	for (int i = 0; i < FIELDS; i++) {
		size_t used = strlen(sql);
		snprintf(sql + used, sizeof(sql) - used, "%s%s", i ? ", " : "",
		         run_fields[i].key);
	}
	strcat(sql, " FROM run");
	rows = db_rows(trace->db, sql, "");
	if (rows_next(rows)) {
		for (int i = 0; i < FIELDS; i++)
			run->text[i] = rows_copy(rows, i);
		rows_free(rows);
	}
	run->steps = trace_complete_steps(trace);
	run->step_ns = rows_first(db_rows(trace->db, sql_step_duration, ""), -1);
	run->micro_steps = db_number(trace->db, 0, "SELECT sum(micro_steps) FROM step");
	run->duration_ns =
	        run->text[ENDED_NS]
	                ? atoll(run->text[ENDED_NS])
	                : db_number(trace->db, 0, "SELECT max(end_ns) FROM step");
}

static void run_free(struct run *run)
{
	for (int i = 0; i < FIELDS; i++)
		free(run->text[i]);
}

static int64_t most_reserved(struct trace *trace, int64_t device, int64_t step)
{
	return rows_first(db_rows(trace->db,
	                          "SELECT max(peak_reserved) FROM step_device "
	                          "WHERE device = ?1 AND ?2 IN (-1, step)",
	                          "ii", device, step),
	                  0);
}

static void json_run(struct trace *trace, const struct run *run, struct json *json)
{
	json_object(json, "run");
	json_text(json, "trace", trace->name);
	for (int i = 0; i < FIELDS; i++) {
		if (run_fields[i].number && run->text[i])
			json_number(json, run_fields[i].key, atoll(run->text[i]));
		else
			json_text(json, run_fields[i].key, run->text[i]);
	}
	json_number(json, "duration_ns", run->duration_ns);
	json_known(json, "step_duration_ns", run->step_ns);
	json_number(json, "micro_steps", run->micro_steps);
	json_truth(json, "running", trace->running);
	json_end(json);
	json_number(json, "steps", run->steps);
}

static void json_device(struct trace *trace, const struct device *device, int64_t step,
                        struct json *json)
{
	struct point point;
	struct rows *rows;

	if (!trace_peak(trace, device->id, step, &point))
		return;
	json_object(json, NULL);
	json_text(json, "device", device->name);
	json_text(json, "product", device->product);
	if (device->total_bytes >= 0)
		json_number(json, "total_bytes", device->total_bytes);
	else
		json_null(json, "total_bytes");
	json_number(json, "peak_allocated_bytes", point.allocated);
	json_number(json, "peak_reserved_bytes",
	            most_reserved(trace, device->id, step));
	json_text(json, "peak_phase", trace_phase(trace, point.phase));
	json_number(json, "peak_step", point.step);
	json_number(json, "peak_time_ns", point.time_ns);
	json_array(json, "phases");
	rows = db_rows(trace->db, sql_device_phases, "ii", device->id, step);
	while (rows_next(rows)) {
		json_object(json, NULL);
		json_text(json, "phase", trace_phase(trace, rows_number(rows, 0)));
		json_number(json, "peak_allocated_bytes", rows_number(rows, 1));
		json_number(json, "events", rows_number(rows, 2));
		json_end(json);
	}
	json_end(json);
	json_end(json);
}

static void print_run(struct trace *trace, const struct run *run, FILE *out)
{
	char *const *text = run->text;
	const char *line = text[COMMAND] ? text[COMMAND] : text[SCRIPT];
	const char *end = trace->running ? "still running"
	                  : text[ENDED]  ? text[ENDED]
	                                 : "cut off";
	char *torch;

	fprintf(out, "%s", style(BOLD));
	text_fit(out, trace->name, term.width, KEEP_TAIL);
	fprintf(out, "%s\n", style(PLAIN));
	if (line) {
		fputs("  ", out);
		text_fit(out, line, term.width - 2, KEEP_HEAD);
		fputc('\n', out);
	}
	fprintf(out, "  %s", text_plural(run->steps, "step").s);
	if (run->step_ns >= 0)
		fprintf(out, " of %s (%s%s)", text_duration(run->step_ns).s,
		        run->steps > 1 ? "median" : "measured",
		        trace->simulated ? ", simulated" : "");
	fprintf(out, " in a run of %s", text_duration(run->duration_ns).s);
	if (run->micro_steps && run->micro_steps != run->steps)
		fprintf(out, " %s %s", sign(DOT),
		        text_plural(run->micro_steps, "backward pass").s);
	if (!trace_is_imported(trace)) /* a snapshot does not say how the run ended */
		fprintf(out, " %s %s%s", sign(DOT), end, text[EXIT_STATUS] ? " " : "");
	fprintf(out, "%s", text[EXIT_STATUS] ? text[EXIT_STATUS] : "");
	if (text[RANK])
		fprintf(out, " %s rank %s of %s", sign(DOT), text[RANK],
		        text[WORLD_SIZE] ? text[WORLD_SIZE] : "?");
	fputc('\n', out);
	torch = torch_text(trace, text[TORCH]);
	fprintf(out, "  %s", torch);
	free(torch);
	if (text[PYTHON])
		fprintf(out, " %s Python %s", sign(DOT), text[PYTHON]);
	if (text[DRIVER])
		fprintf(out, " %s CUDA driver %lld.%lld", sign(DOT),
		        atoll(text[DRIVER]) / 1000, atoll(text[DRIVER]) % 1000 / 10);
	if (text[SIMULATED] && *text[SIMULATED] == '1')
		fprintf(out, " %s simulated device", sign(DOT));
	fputc('\n', out);
	if (text[MODEL] || text[OPTIMIZER])
		fprintf(out, "  %s%s%s\n", text[MODEL] ? text[MODEL] : "",
		        text[MODEL] && text[OPTIMIZER] ? ", " : "",
		        text[OPTIMIZER] ? text[OPTIMIZER] : "");
}

static void print_phases(struct trace *trace, const struct device *device,
                         const struct point *point, int64_t step, FILE *out)
{
	struct table *table = table_new("<>>><");
	static const char *const heads[] = {"phase", "most allocated", "of peak",
	                                    "events", ""};
	struct rows *rows =
	        db_rows(trace->db, sql_device_phases, "ii", device->id, step);

	for (int i = 0; i < 5; i++)
		table_cell(table, PLAIN, "%s", heads[i]);
	while (rows_next(rows)) {
		int64_t phase = rows_number(rows, 0), bytes = rows_number(rows, 1);
		const char *name = trace_phase(trace, phase);
		table_cell(table, phase_style(name), "%s", name);
		table_cell(table, PLAIN, "%s", text_size(bytes).s);
		table_cell(table, PLAIN, "%s", text_percent(bytes, point->allocated).s);
		table_cell(table, PLAIN, "%s", text_count(rows_number(rows, 2)).s);
		if (phase == point->phase)
			table_cell(table, BOLD, "%s peak", sign(ARROW));
		else
			table_cell(table, PLAIN, "%s", "");
	}
	table_print(table, out, 2, true);
	table_free(table);
}

static void print_device(struct trace *trace, const struct device *device, int64_t step,
                         FILE *out)
{
	struct point point;
	const char *phase;
	int64_t reserved;

	if (!trace_peak(trace, device->id, step, &point))
		return;
	phase = trace_phase(trace, point.phase);
	reserved = most_reserved(trace, device->id, step);
	fprintf(out, "\n%s%s%s", style(BOLD), device->name, style(PLAIN));
	if (device->product)
		fprintf(out, " %s %s", sign(DOT), device->product);
	if (device->total_bytes > 0)
		fprintf(out, " %s %s", sign(DOT), text_size(device->total_bytes).s);
	fprintf(out, "\n  %sPEAK  %s%s  in %s%s%s, step %s\n", style(BOLD),
	        text_size(point.allocated).s, style(PLAIN), style(phase_style(phase)),
	        phase, style(PLAIN), text_count(point.step).s);
	if (device->total_bytes > 0)
		fprintf(out, "        %s of the device ",
		        text_percent(point.allocated, device->total_bytes).s);
	if (reserved > 0)
		fprintf(out, "%s most reserved %s",
		        device->total_bytes > 0 ? sign(DOT) : "       ",
		        text_size(reserved).s);
	fputs(device->total_bytes > 0 || reserved > 0 ? "\n\n" : "\n", out);
	if (step < 0) {
		steps_print(trace, device, 6, out);
		fputc('\n', out);
	}
	print_phases(trace, device, &point, step, out);
}

static void whole_json(struct trace *trace, const struct run *run,
                       const struct device *devices, size_t count, int64_t step,
                       const struct findings *findings, FILE *out)
{
	struct json json;

	json_begin(&json, out);
	trace_json_head(trace, &json);
	json_run(trace, run, &json);
	findings_json(findings, &json);
	json_array(&json, "devices");
	for (size_t i = 0; i < count; i++)
		json_device(trace, &devices[i], step, &json);
	json_end(&json);
	losses_json(trace, &json);
	capabilities_json(trace, &json);
	json_end(&json);
}

int cmd_report(const struct options *options)
{
	int64_t step = -1;
	struct run run = {0};
	struct findings findings;
	struct trace *trace;
	struct device *devices;
	size_t count;
	FILE *out;

	if (many_named(options))
		return many_answer(options, JOB_REPORT);
	option_number(options, OPT_STEP, &step);
	trace = trace_open(options_file(options));
	if (step >= 0)
		trace_step(trace, step); /* ends here where there is none */
	devices = trace_devices(trace, options->value[OPT_DEVICE], &count);
	run_load(trace, &run);
	findings_load(trace, devices, count, &findings);
	out = screen_open();
	if (options->value[OPT_JSON]) {
		whole_json(trace, &run, devices, count, step, &findings, out);
	} else {
		findings_print(&findings, out);
		print_run(trace, &run, out);
		for (size_t i = 0; i < count; i++)
			print_device(trace, &devices[i], step, out);
		if (!count)
			fputs("\n  no device memory was allocated through PyTorch\n",
			      out);
		fputc('\n', out);
		losses_print(trace, out);
		capabilities_print(trace, out);
		next_commands(trace, out, findings_command(&findings), "timeline");
	}
	findings_free(&findings);
	run_free(&run);
	trace_close(trace);
	return screen_close(out);
}
