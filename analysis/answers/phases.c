/* phases.c - which phase a step was in, column by column of a chart.
 * Called from: commands/timeline.c. */
#include "phases.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"

struct span {
	double from; /* 0 to 1 of the step */
	int64_t phase;
};

static double fraction(int64_t time_ns, int64_t start_ns, int64_t end_ns)
{
	return end_ns > start_ns
	               ? (double)(time_ns - start_ns) / (double)(end_ns - start_ns)
	               : 0;
}

static struct span *read_spans(struct trace *trace, const struct step *step,
                               const struct event *events, size_t count, size_t *made)
{
	struct span *spans = NULL;
	size_t room = 0;
	struct rows *rows = db_rows(trace->db,
	                            "SELECT phase, start_ns FROM span WHERE step = ? "
	                            "ORDER BY number",
	                            "i", step->pattern);
	*made = 0;
	while (rows_next(rows)) {
		spans = grow(spans, *made, &room, sizeof(*spans));
		spans[(*made)++] = (struct span){
		        .from = fraction(rows_number(rows, 1), step->pattern_start_ns,
		                         step->pattern_end_ns),
		        .phase = rows_number(rows, 0)};
	}
	if (*made)
		return spans;
	for (size_t i = 0; i < count; i++) {
		if (*made && spans[*made - 1].phase == events[i].phase)
			continue;
		spans = grow(spans, *made, &room, sizeof(*spans));
		spans[(*made)++] =
		        (struct span){.from = fraction(events[i].time_ns,
		                                       step->start_ns, step->end_ns),
		                      .phase = events[i].phase};
	}
	return spans;
}

/* The phase that fills most of [from, to). */
static int64_t longest(const struct span *spans, size_t count, double from, double to)
{
	double most = -1;
	int64_t phase = -1;

	for (size_t i = 0; i < count; i++) {
		double start = i && spans[i].from > from ? spans[i].from : from;
		double end = i + 1 < count && spans[i + 1].from < to ? spans[i + 1].from
		                                                     : to;
		if (end - start > most) {
			most = end - start;
			phase = spans[i].phase;
		}
	}
	return phase;
}

void phases_load(struct trace *trace, const struct step *step,
                 const struct event *events, size_t count, int columns,
                 struct phases *phases)
{
	size_t made;
	struct span *spans = read_spans(trace, step, events, count, &made);

	memset(phases, 0, sizeof(*phases));
	for (size_t i = 0; i < made; i++)
		if (spans[i].phase >= 0 && spans[i].phase < PHASES)
			phases->seen[spans[i].phase] = true;
	for (int c = 0; c < columns; c++) {
		phases->column[c] = longest(spans, made, (double)c / columns,
		                            (double)(c + 1) / columns);
		phases->starts[c] = !c || phases->column[c] != phases->column[c - 1];
	}
	free(spans);
}

/* Under each stretch its name, where it has the room; otherwise the first letter. */
static void print_names(const struct trace *trace, const struct chart *chart,
                        const struct phases *phases, bool *short_of_room, FILE *out)
{
	bool full = false; /* the stretch before is written up to its last column */
	int held = CHART_LEFT;

	for (int c = 0; c < chart->columns;) {
		const char *name = trace_phase(trace, phases->column[c]);
		int wide = 1, used = (int)strlen(name);
		while (c + wide < chart->columns && !phases->starts[c + wide])
			wide++;
		if (used + full > wide) {
			used = 1;
			if (phases->column[c] >= 0 && phases->column[c] < PHASES)
				short_of_room[phases->column[c]] = true;
		}
		full = full && used < wide;
		fprintf(out, "%*s%s%.*s%s", held + full, "", style(phase_style(name)),
		        used, name, style(PLAIN));
		held = wide - used - full;
		full = !held;
		c += wide;
	}
	fputc('\n', out);
}

void phases_print(const struct trace *trace, const struct chart *chart,
                  const struct phases *phases, FILE *out)
{
	bool lettered[PHASES] = {false}, visible[PHASES] = {false};
	int told = 0;

	chart_axis(chart, phases->starts, out);
	print_names(trace, chart, phases, lettered, out);
	for (int c = 0; c < chart->columns; c++)
		if (phases->column[c] >= 0 && phases->column[c] < PHASES)
			visible[phases->column[c]] = true;
	for (int p = 0; p < PHASES; p++) {
		const char *name = trace_phase(trace, p);
		if (!phases->seen[p] || (visible[p] && !lettered[p]))
			continue;
		if (told)
			fprintf(out, " %s ", sign(DOT));
		else
			fprintf(out, "%*s", CHART_LEFT, "");
		if (visible[p])
			fprintf(out, "%s%c%s %s", style(phase_style(name)), *name,
			        style(PLAIN), name);
		else
			fprintf(out, "%s: too short to see", name);
		told++;
	}
	if (told)
		fputc('\n', out);
}
