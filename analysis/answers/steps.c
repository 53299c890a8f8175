/* steps.c - the peak of every step of a device.
 * Called from: commands/findings.c, commands/report.c, commands/timeline.c. */
#include "steps.h"

#include <stdlib.h>
#include <string.h>

#include "answers_queries.h"
#include "chart.h"
#include "heap.h"
#include "maxima.h"
#include "text.h"

struct entry {
	int64_t step, allocated, reserved, phase;
	bool complete;
};

static struct entry *read_steps(struct trace *trace, int64_t device, size_t *count)
{
	struct entry *entries = NULL;
	size_t room = 0;
	struct rows *rows = db_rows(trace->db, sql_step_peaks, "i", device);
	*count = 0;
	while (rows_next(rows)) {
		entries = grow(entries, *count, &room, sizeof(*entries));
		entries[(*count)++] = (struct entry){.step = rows_number(rows, 0),
		                                     .allocated = rows_number(rows, 1),
		                                     .reserved = rows_number(rows, 2),
		                                     .phase = rows_number(rows, 3),
		                                     .complete = rows_number(rows, 4)};
	}
	return entries;
}

/* Few steps get wide bars, many share a column: it shows the highest of them. */
static void draw(const struct trace *trace, const struct entry *entries, size_t count,
                 struct chart *chart)
{
	size_t room = (size_t)chart_width(),
	       wide = count && count < room ? room / count : 1;

	wide = wide > 6 ? 6 : wide;
	chart->columns = (int)(count < room ? count * wide : room);
	for (size_t i = 0; i < count; i++) {
		size_t from = count < room ? i * wide : i * room / count;
		/* A blank between wide bars lets the eye count them. */
		size_t to = count < room ? from + wide - (wide > 2) : from + 1;
		for (size_t c = from; c < to; c++) {
			if (entries[i].allocated < chart->value[c])
				continue;
			chart->value[c] = entries[i].allocated;
			chart->style[c] =
			        phase_style(trace_phase(trace, entries[i].phase));
		}
		for (size_t c = from; c < to; c++)
			if (entries[i].reserved > chart->line[c])
				chart->line[c] = entries[i].reserved;
	}
}

static void name(const struct trace *trace, struct table *table, const char *what,
                 const struct entry *entry)
{
	const char *phase = trace_phase(trace, entry->phase);
	table_cell(table, DIM, "%s", what);
	table_cell(table, PLAIN, "step %s", text_count(entry->step).s);
	table_cell(table, PLAIN, "%s", text_size(entry->allocated).s);
	table_cell(table, phase_style(phase), "%s", phase);
}

/* The steps one would compare: step 0 is the setup, and what follows the last
 * Optimizer.step() is none. */
static void ends(const struct entry *entries, size_t count, size_t *first, size_t *last)
{
	*first = count > 1 && !entries[0].step ? 1 : 0;
	for (*last = count - 1; *last > *first && !entries[*last].complete; --*last)
		;
}

/* Below the axis: the first and the last step, where there is room for both. */
static void name_ends(const struct entry *entries, size_t count,
                      const struct chart *chart, FILE *out)
{
	char *left = format_text("step %s", text_count(entries[0].step).s);
	char *right = format_text("step %s", text_count(entries[count - 1].step).s);
	bool both =
	        count > 1 && text_width(left) + text_width(right) + 2 <= chart->columns;

	chart_ends(chart, left, both ? right : "", out);
	free(left);
	free(right);
}

void steps_print(struct trace *trace, const struct device *device, int rows, FILE *out)
{
	struct chart chart = {.rows = rows};
	struct table *table;
	size_t count, peak = 0, first, last;
	struct entry *entries = read_steps(trace, device->id, &count);

	if (!count) {
		free(entries);
		return;
	}
	for (size_t i = 1; i < count; i++)
		if (entries[i].allocated > entries[peak].allocated)
			peak = i;
	draw(trace, entries, count, &chart);
	chart_print(&chart, out);
	chart_axis(&chart, NULL, out);
	name_ends(entries, count, &chart, out);
	chart_legend("allocated at each step's peak", "reserved", out);
	ends(entries, count, &first, &last);
	table = table_new("<<><");
	if (last > first) {
		name(trace, table, "first", &entries[first]);
		name(trace, table, "last", &entries[last]);
	}
	name(trace, table, "peak", &entries[peak]);
	table_print(table, out, CHART_LEFT, false);
	table_free(table);
	free(entries);
}

bool steps_growth(struct trace *trace, const struct device *device,
                  struct steps_growth *growth)
{
	enum { FEWEST = 4 };
	size_t count, complete = 0, seen = 0;
	struct entry *entries = read_steps(trace, device->id, &count);

	*growth = (struct steps_growth){.late_step = -1};
	for (size_t i = 0; i < count; i++)
		complete += entries[i].complete && entries[i].step > 1;
	for (size_t i = 0; i < count; i++) {
		if (!entries[i].complete || entries[i].step <= 1)
			continue;
		if (seen++ < complete / 2) {
			if (entries[i].allocated > growth->early)
				growth->early = entries[i].allocated;
		} else if (entries[i].allocated > growth->late) {
			growth->late = entries[i].allocated;
			growth->late_step = entries[i].step;
		}
	}
	free(entries);
	return complete >= FEWEST;
}

/* The maxima of the steps, in the order of their entries. */
struct held {
	const struct entry *entries;
	size_t count, at;
	struct maximum (*of)[BUCKETS];
	bool *kept;
};

static void hold(void *context, int64_t step, const struct maximum *of)
{
	struct held *held = context;

	while (held->at < held->count && held->entries[held->at].step < step)
		held->at++;
	if (!of || held->at == held->count || held->entries[held->at].step != step)
		return;
	memcpy(held->of[held->at], of, sizeof(*held->of));
	held->kept[held->at] = true;
}

static struct held read_held(struct trace *trace, int64_t device,
                             const struct entry *entries, size_t count)
{
	struct held held = {.entries = entries, .count = count};

	held.of = allocate((count + 1) * sizeof(*held.of));
	held.kept = allocate((count + 1) * sizeof(*held.kept));
	maxima_each(trace, device, hold, &held);
	return held;
}

static void free_held(struct held *held)
{
	free(held->of);
	free(held->kept);
}

static void print_held(struct trace *trace, const struct held *held, size_t first,
                       size_t last, int bucket, struct table *table)
{
	const struct maximum *most = &held->of[0][bucket];
	const char *name = trace_bucket(trace, bucket);

	for (size_t i = 1; i < held->count; i++)
		if (held->of[i][bucket].bytes > most->bytes)
			most = &held->of[i][bucket];
	if (!most->bytes)
		return;
	const char *phase = maximum_phase(trace, most);
	table_cell(table, bucket_style(name), "%s", name);
	table_cell(table, PLAIN, "%s",
	           held->kept[first] ? text_size(held->of[first][bucket].bytes).s
	                             : sign(DASH));
	table_cell(table, PLAIN, "%s",
	           held->kept[last] ? text_size(held->of[last][bucket].bytes).s
	                            : sign(DASH));
	table_cell(table, PLAIN, "%s", text_size(most->bytes).s);
	table_cell(table, PLAIN, "step %s%s%s", text_count(most->step).s,
	           phase ? ", " : "", phase ? phase : "");
}

void steps_buckets(struct trace *trace, const struct device *device, FILE *out)
{
	static const char *const heads[] = {"most in a step", "first", "last", "of all",
	                                    "in"};
	struct table *table = table_new("<>>><");
	size_t count, first, last;
	struct entry *entries = read_steps(trace, device->id, &count);
	struct held held = read_held(trace, device->id, entries, count);

	for (int i = 0; i < 5; i++)
		table_cell(table, DIM, "%s", heads[i]);
	if (count) {
		ends(entries, count, &first, &last);
		for (int b = 0; b < BUCKETS; b++)
			print_held(trace, &held, first, last, b, table);
		fputc('\n', out);
		table_print(table, out, 2, false);
	}
	table_free(table);
	free_held(&held);
	free(entries);
}

static void json_held(struct trace *trace, const struct maximum *of, bool kept,
                      struct json *json)
{
	if (!kept) {
		json_null(json, "maxima");
		return;
	}
	json_array(json, "maxima");
	for (int b = 0; b < BUCKETS; b++) {
		if (!of[b].bytes)
			continue;
		json_object(json, NULL);
		json_text(json, "bucket", trace_bucket(trace, b));
		json_number(json, "bytes", of[b].bytes);
		json_text(json, "phase", maximum_phase(trace, &of[b]));
		json_end(json);
	}
	json_end(json);
}

void steps_json(struct trace *trace, const struct device *device, struct json *json)
{
	size_t count;
	struct entry *entries = read_steps(trace, device->id, &count);
	struct held held = read_held(trace, device->id, entries, count);

	json_object(json, NULL);
	json_text(json, "device", device->name);
	json_array(json, "steps");
	for (size_t i = 0; i < count; i++) {
		json_object(json, NULL);
		json_number(json, "step", entries[i].step);
		json_text(json, "phase", trace_phase(trace, entries[i].phase));
		json_number(json, "peak_allocated_bytes", entries[i].allocated);
		json_number(json, "peak_reserved_bytes", entries[i].reserved);
		json_held(trace, held.of[i], held.kept[i], json);
		json_end(json);
	}
	json_end(json);
	json_end(json);
	free_held(&held);
	free(entries);
}
