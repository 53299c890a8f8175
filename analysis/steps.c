/* steps.c - the peak of every step of a device. */
#include "steps.h"

#include <stdlib.h>

#include "chart.h"
#include "heap.h"
#include "text.h"

struct entry {
	int64_t step, allocated, reserved, phase;
	bool complete;
};

static struct entry *read_steps(struct trace *trace, int64_t device, size_t *count)
{
	struct entry *entries = NULL;
	size_t room = 0;
	struct rows *rows = db_rows(
	        trace->db,
	        "SELECT d.step, peak_allocated, peak_reserved, peak_phase, complete "
	        "FROM step_device d JOIN step s ON s.id = d.step "
	        "WHERE device = ? ORDER BY d.step",
	        "i", device);
	*count = 0;
	while (rows_next(rows)) {
		entries = grow(entries, *count, &room, sizeof(*entries));
		entries[(*count)++] =
		        (struct entry){rows_number(rows, 0), rows_number(rows, 1),
		                       rows_number(rows, 2), rows_number(rows, 3),
		                       rows_number(rows, 4)};
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
	first = count > 1 && !entries[0].step ? 1 : 0; /* step 0 is the setup */
	/* What follows the last Optimizer.step() is not a step one would compare. */
	for (last = count - 1; last > first && !entries[last].complete; last--)
		;
	table = table_new("<<><");
	name(trace, table, "first", &entries[first]);
	name(trace, table, "last", &entries[last]);
	name(trace, table, "peak", &entries[peak]);
	table_print(table, out, CHART_LEFT, false);
	table_free(table);
	free(entries);
}

void steps_json(struct trace *trace, const struct device *device, struct json *json)
{
	size_t count;
	struct entry *entries = read_steps(trace, device->id, &count);

	json_object(json, NULL);
	json_text(json, "device", device->name);
	json_array(json, "steps");
	for (size_t i = 0; i < count; i++) {
		json_object(json, NULL);
		json_number(json, "step", entries[i].step);
		json_text(json, "phase", trace_phase(trace, entries[i].phase));
		json_number(json, "peak_allocated_bytes", entries[i].allocated);
		json_number(json, "peak_reserved_bytes", entries[i].reserved);
		json_end(json);
	}
	json_end(json);
	json_end(json);
	free(entries);
}
