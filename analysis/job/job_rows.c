/* job_rows.c - the ranks of a job as rows: like ones folded, many of them shortened.
 * Called from: job_screen.c. */
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "job_answer.h"
#include "text.h"

/* Ranks that say the same. */
struct row {
	const struct rollup **ranks;
	size_t count;
	struct small peak;
	const char *phase;
	char *end;
};

struct rows_of {
	struct row *list;
	size_t count, room;
};

static char *state_text(const struct rollup *rank)
{
	char *end = end_text(rank);

	if (end)
		return end;
	if (rank->number[OF_RUNNING] > 0)
		return copy_text("still running");
	return rank->text[OF_DOUBT] ? copy_text(rank->text[OF_DOUBT]) : copy_text("");
}

/* Ends that only differ in the place are told alike: "it ran out of memory in step 3, backward". */
static bool alike(const struct row *row, const struct rollup *rank, const char *end)
{
	return !strcmp(row->peak.s, text_size(rank->number[OF_ALLOCATED]).s) &&
	       !strcmp(row->phase, rank->text[OF_PHASE]) && !strcmp(row->end, end);
}

static void put(struct rows_of *rows, const struct job *job, const struct rollup *rank)
{
	char *end = state_text(rank);
	struct row *row = rows->count ? &rows->list[rows->count - 1] : NULL;

	if (!row || !alike(row, rank, end)) {
		rows->list =
		        grow(rows->list, rows->count, &rows->room, sizeof(*rows->list));
		row = &rows->list[rows->count++];
		*row = (struct row){
		        .peak = text_size(rank->number[OF_ALLOCATED]),
		        .phase = rank->text[OF_PHASE],
		        .end = copy_text(end),
		        .ranks = allocate((job->peak_count + 1) * sizeof(*row->ranks))};
	}
	row->ranks[row->count++] = rank;
	free(end);
}

static void print_row(struct table *table, const struct row *row)
{
	char *ranks = ranks_text(row->ranks, row->count);
	const struct rollup *one = row->ranks[0];
	bool same_step = true;
	int64_t reserved = one->number[OF_RESERVED];

	for (size_t i = 1; i < row->count; i++) {
		same_step &= row->ranks[i]->number[OF_STEP] == one->number[OF_STEP];
		if (row->ranks[i]->number[OF_RESERVED] > reserved)
			reserved = row->ranks[i]->number[OF_RESERVED];
	}
	table_cell(table, PLAIN, "%s", ranks);
	table_cell(table, BOLD, "%s", row->peak.s);
	table_cell(table, PLAIN, "%s",
	           one->number[OF_TOTAL] > 0 ? text_percent(one->number[OF_ALLOCATED],
	                                                    one->number[OF_TOTAL])
	                                               .s
	                                     : "");
	table_cell(table, PLAIN, "%s",
	           reserved > 0 ? text_size(reserved).s : sign(DASH));
	table_cell(table, phase_style(row->phase), "%s", row->phase);
	table_cell(table, PLAIN, "%s",
	           same_step ? text_count(one->number[OF_STEP]).s : "several");
	table_cell(table, *row->end ? YELLOW : PLAIN, "%s", row->end);
	free(ranks);
}

/* Which row has the rank in the middle. */
static size_t middle_row(const struct rows_of *rows, size_t ranks)
{
	size_t seen = 0, at = 0;

	while (at + 1 < rows->count && seen + rows->list[at].count <= ranks / 2)
		seen += rows->list[at++].count;
	return at;
}

/* Of many rows: those at the top, that of the rank in the middle, and the last. */
static bool is_shown(const struct rows_of *rows, size_t at, size_t middle, int64_t top)
{
	return (int64_t)rows->count <= top || (int64_t)at < top - 2 || at == middle ||
	       at + 1 == rows->count;
}

void ranks_print(const struct job *job, int64_t top, FILE *out)
{
	static const char *const heads[] = {"",      "peak", "of device", "reserved",
	                                    "phase", "step", ""};
	struct table *table = table_new("~>>><>-");
	struct rows_of rows = {0};
	size_t middle;

	for (size_t i = 0; i < job->peak_count; i++)
		put(&rows, job, job->peaks[i]);
	middle = middle_row(&rows, job->peak_count);
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		table_cell(table, PLAIN, "%s", heads[i]);
	for (size_t i = 0, left; i < rows.count; i++) {
		if (is_shown(&rows, i, middle, top)) {
			print_row(table, &rows.list[i]);
			continue;
		}
		for (left = 0; i < rows.count && !is_shown(&rows, i, middle, top); i++)
			left += rows.list[i].count;
		i--;
		table_cell(table, DIM, "%s between",
		           text_plural((int64_t)left, "rank").s);
		for (size_t k = 1; k < sizeof(heads) / sizeof(heads[0]); k++)
			table_cell(table, PLAIN, "%s", "");
	}
	table_print(table, out, 2, true);
	table_free(table);
	for (size_t i = 0; i < rows.count; i++) {
		free(rows.list[i].ranks);
		free(rows.list[i].end);
	}
	free(rows.list);
}
