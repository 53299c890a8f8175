/* job_steps.c - the peaks of a job over its steps.
 * Called from: job_json.c, job_screen.c. */
#include <stdlib.h>
#include <string.h>

#include "chart.h"
#include "heap.h"
#include "job_answer.h"
#include "text.h"

static int descending(const void *left, const void *right)
{
	int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
	return (a < b) - (a > b);
}

/* Ranks may have come to different steps, and have bins of different widths. */
struct job_bin *job_bins(const struct job *job, size_t *count, int64_t *steps)
{
	struct job_bin *bins;
	int64_t *at = allocate((job->peak_count + 1) * sizeof(*at));

	*count = 0;
	*steps = 1;
	for (size_t i = 0; i < job->peak_count; i++)
		if (job->peaks[i]->number[OF_BIN] > *steps)
			*steps = job->peaks[i]->number[OF_BIN];
	for (size_t i = 0; i < job->peak_count; i++) {
		const struct rollup *rank = job->peaks[i];
		size_t wide = (size_t)(*steps / rank->number[OF_BIN]);
		size_t last = (rank->step_count + wide - 1) / wide;
		*count = last > *count ? last : *count;
	}
	bins = allocate((*count + 1) * sizeof(*bins));
	for (size_t b = 0; b < *count; b++) {
		size_t ranks = 0;
		for (size_t i = 0; i < job->peak_count; i++) {
			const struct rollup *rank = job->peaks[i];
			size_t wide = (size_t)(*steps / rank->number[OF_BIN]);
			int64_t most = 0;
			for (size_t k = b * wide;
			     k < (b + 1) * wide && k < rank->step_count; k++)
				most = rank->steps[k] > most ? rank->steps[k] : most;
			if (!most)
				continue;
			at[ranks++] = most;
			if (most > bins[b].most) {
				bins[b].most = most;
				bins[b].highest = rank;
			}
		}
		if (!ranks)
			continue;
		qsort(at, ranks, sizeof(*at), descending);
		bins[b].median = at[ranks / 2];
	}
	free(at);
	return bins;
}

static void print_highest(const struct job_bin *bins, size_t count, int64_t steps,
                          FILE *out)
{
	const struct rollup *often = NULL;
	size_t most = 0, seen = 0;
	char *name;

	for (size_t i = 0; i < count; i++) {
		size_t times = 0;
		seen += bins[i].highest != NULL;
		for (size_t k = 0; bins[i].highest && k < count; k++)
			times += bins[k].highest == bins[i].highest;
		if (times > most) {
			most = times;
			often = bins[i].highest;
		}
	}
	if (!often)
		return;
	name = ranks_text(&often, 1);
	if (most == seen)
		fprintf(out, "  %s has the highest peak in every step\n", name);
	else
		fprintf(out, "  %s has the highest peak in %s of %s\n", name,
		        text_count((int64_t)most).s,
		        text_plural((int64_t)seen, steps > 1 ? "column" : "step").s);
	free(name);
}

/* Below the axis: the first and the last step, where there is room for both. */
static void name_ends(const struct chart *chart, int64_t steps, FILE *out)
{
	char *right = format_text("step %s", text_count(steps - 1).s);
	bool both = steps > 1 && text_width(right) + 8 <= chart->columns;

	chart_ends(chart, "step 0", both ? right : "", out);
	free(right);
}

void job_steps_print(const struct job *job, FILE *out)
{
	struct chart chart = {.rows = 10};
	size_t count, width = (size_t)chart_width();
	int64_t steps;
	struct job_bin *bins = job_bins(job, &count, &steps);
	size_t wide = count && count < width ? width / count : 1;

	wide = wide > 6 ? 6 : wide;
	chart.columns = (int)(count * wide < width ? count * wide : width);
	for (int c = 0; c < chart.columns; c++) {
		size_t from = count * wide < width ? (size_t)c / wide
		                                   : (size_t)c * count / width;
		size_t to = count * wide < width ? from + 1
		                                 : ((size_t)c + 1) * count / width;
		for (size_t b = from; b < count && (b == from || b < to); b++) {
			if (bins[b].median > chart.value[c])
				chart.value[c] = bins[b].median;
			if (bins[b].most > chart.line[c])
				chart.line[c] = bins[b].most;
		}
		chart.style[c] = BLUE;
	}
	fprintf(out, "  the peak of each step\n");
	if (steps > 1)
		fprintf(out, "  each column stands for %s\n",
		        text_plural(steps, "step").s);
	chart_print(&chart, out);
	chart_axis(&chart, NULL, out);
	name_ends(&chart, (int64_t)count * steps, out);
	chart_legend("the rank in the middle", "the highest rank", out);
	print_highest(bins, count, steps, out);
	free(bins);
}
