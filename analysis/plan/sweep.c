/* sweep.c - --sweep: the peak at one batch or sequence after the other, in one table.
 * Called from: plan/. */
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "heap.h"
#include "plan.h"
#include "quantity.h"
#include "text.h"

#define EXAMPLE "'batch=1..256', 'seq=512,1024,2048' or 'batch=8..64:8'"

static int64_t number(const char *text, const char *whole)
{
	int64_t value;

	if (quantity_count(text, &value) != QUANTITY_GOOD || value < 1)
		fail(STATUS_USAGE, "'--sweep' is %s, not '%s'", EXAMPLE, whole);
	return value;
}

static void add_value(struct plan *plan, int64_t value)
{
	if (plan->sweep.count == SWEEP_ROWS)
		fail(STATUS_USAGE, "'--sweep' has at most %d rows; take larger steps",
		     SWEEP_ROWS);
	plan->sweep.rows[plan->sweep.count++].value = value;
}

/* "1..256": doubled from row to row, the end included; "8..64:8": in steps. */
static void add_range(struct plan *plan, char *range, const char *whole)
{
	char *end = strstr(range, ".."), *step = strchr(range, ':');
	int64_t first, last, by = 0;

	*end = 0;
	if (step)
		*step = 0;
	first = number(range, whole);
	last = number(end + 2, whole);
	if (step)
		by = number(step + 1, whole);
	if (last < first)
		fail(STATUS_USAGE, "'--sweep' ends before it begins, in '%s'", whole);
	for (int64_t at = first;; at = by ? at + by : at * 2) {
		add_value(plan, at);
		if (at > last - (by ? by : at))
			break;
	}
	if (plan->sweep.rows[plan->sweep.count - 1].value < last)
		add_value(plan, last);
}

void plan_sweep_read(struct plan *plan, const struct options *options)
{
	const char *whole = options->value[OPT_SWEEP];
	char *copy, *list, *word, *rest = NULL;

	if (!whole)
		return;
	copy = copy_text(whole);
	list = strchr(copy, '=');
	if (!list)
		fail(STATUS_USAGE, "'--sweep' is %s, not '%s'", EXAMPLE, whole);
	*list++ = 0;
	if (!strcmp(copy, "seq"))
		plan->sweep.axis = SWEEP_SEQ;
	else if (!strcmp(copy, "batch"))
		plan->sweep.axis = SWEEP_BATCH;
	else
		fail(STATUS_USAGE, "'--sweep' goes over 'batch' or 'seq', not '%s'",
		     copy);
	if (plan->sweep.axis == SWEEP_SEQ && !plan->sequence_counts)
		fail(STATUS_USAGE, "'--sweep seq=' counts only where activations are "
		                   "computed from the shape of a model");
	for (word = strtok_r(list, ",", &rest); word;
	     word = strtok_r(NULL, ",", &rest)) {
		if (strstr(word, ".."))
			add_range(plan, word, whole);
		else
			add_value(plan, number(word, whole));
	}
	if (!plan->sweep.count)
		fail(STATUS_USAGE, "'--sweep' is %s, not '%s'", EXAMPLE, whole);
	if (plan->sweep.axis == SWEEP_SEQ && plan->model.shape.positions)
		for (int i = 0; i < plan->sweep.count; i++)
			if (plan->sweep.rows[i].value > plan->model.shape.positions)
				fail(STATUS_USAGE,
				     "this model has %lld positions, fewer than "
				     "%lld",
				     (long long)plan->model.shape.positions,
				     (long long)plan->sweep.rows[i].value);
	free(copy);
}

void plan_sweep(struct plan *plan)
{
	for (int i = 0; i < plan->sweep.count; i++) {
		struct sweep_row *row = &plan->sweep.rows[i];
		struct training tried = plan->training;
		*(plan->sweep.axis == SWEEP_SEQ ? &tried.seq : &tried.batch) =
		        row->value;
		plan_try(plan, &tried, row);
	}
}

static const char *axis_name(const struct plan *plan)
{
	return plan->sweep.axis == SWEEP_SEQ ? "sequence" : "batch";
}

static void put_mark(struct table *table, const struct sweep_row *row, uint64_t card)
{
	if (row->open & card)
		table_cell(table, YELLOW, "?");
	else
		table_cell(table, row->fits & card ? GREEN : RED, "%s",
		           sign(row->fits & card ? CHECK : CROSS));
}

void plan_sweep_print(const struct plan *plan, FILE *out)
{
	static const char *const columns[] = {">>><", ">>><<", ">>><<<", ">>><<<<"};
	bool cards = plan->cards_named && plan->card_count <= 3;
	struct table *table = table_new(columns[cards ? plan->card_count : 0]);

	fprintf(out, "\n%sSWEEP%s  over the %s\n", style(BOLD), style(PLAIN),
	        axis_name(plan));
	table_cell(table, PLAIN, "%s", axis_name(plan));
	table_cell(table, PLAIN, "%s", "peak");
	table_cell(table, PLAIN, "%s", "reserved");
	table_cell(table, PLAIN, "%s", "in");
	for (int k = 0; cards && k < plan->card_count; k++)
		table_cell(table, PLAIN, "%s", plan->cards[k].name);
	for (int i = 0; i < plan->sweep.count; i++) {
		const struct sweep_row *row = &plan->sweep.rows[i];
		table_cell(table, PLAIN, "%s", text_count(row->value).s);
		table_cell(table, PLAIN, "%s",
		           row->peak < 0 ? "too large" : text_size(row->peak).s);
		if (row->reserved >= 0)
			table_cell(table, PLAIN, "%s", text_size(row->reserved).s);
		else
			table_cell(table, PLAIN, "%s", sign(DASH));
		table_cell(table, PLAIN, "%s",
		           row->phase                     ? row->phase
		           : plan_row_has_peak(plan, row) ? sign(DASH)
		                                          : "the sum");
		for (int k = 0; cards && k < plan->card_count; k++)
			put_mark(table, row, (uint64_t)1 << k);
	}
	table_print(table, out, 2, true);
	table_free(table);
}

static void json_cards(struct json *json, const struct plan *plan, const char *key,
                       uint64_t cards)
{
	json_array(json, key);
	for (int k = 0; plan->cards_named && k < plan->card_count && k < 64; k++)
		if (cards & (uint64_t)1 << k)
			json_text(json, NULL, plan->cards[k].name);
	json_end(json);
}

void plan_sweep_json(const struct plan *plan, struct json *json)
{
	json_object(json, "sweep");
	json_text(json, "over", plan->sweep.axis == SWEEP_SEQ ? "seq" : "batch");
	json_array(json, "rows");
	for (int i = 0; i < plan->sweep.count; i++) {
		const struct sweep_row *row = &plan->sweep.rows[i];
		json_object(json, NULL);
		json_number(json, plan->sweep.axis == SWEEP_SEQ ? "seq" : "batch",
		            row->value);
		json_known(json, "peak_allocated_bytes",
		           plan_row_has_peak(plan, row) ? row->peak : -1);
		json_text(json, "peak_phase", row->phase);
		json_known(json, "reserved_bytes", row->reserved);
		json_known(json, "total_bytes", row->total);
		json_cards(json, plan, "fits", row->fits);
		json_cards(json, plan, "may_fit", row->open);
		json_end(json);
	}
	json_end(json);
	json_end(json);
}
