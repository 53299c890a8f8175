/* text.c - the answer of `reconcile` on the screen.
 * Called from: commands/reconcile.c. */
#include "reconcile.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "text.h"

static struct small difference(int64_t bytes)
{
	struct small text = text_size(llabs(bytes)), answer;

	snprintf(answer.s, sizeof(answer.s), "%s%.30s",
	         bytes > 0   ? "+"
	         : bytes < 0 ? "-"
	                     : "",
	         text.s);
	return answer;
}

static void print_training(const struct recognised *recognised, FILE *out)
{
	const struct training *t = &recognised->training;

	if (!*recognised->optimizer)
		fprintf(out, "      optimizer as %s", optimizer_names[t->optimizer]);
	else
		fprintf(out, "      %s%s %s", recognised->optimizer,
		        recognised->by_states ? ", counted as" : " as",
		        optimizer_names[t->optimizer]);
	if (t->parameter == t->gradient && t->parameter == t->state)
		fprintf(out, " %s all in %s\n", sign(DOT), dtype_names[t->parameter]);
	else
		fprintf(out, " %s weights %s, gradients %s, states %s\n", sign(DOT),
		        dtype_names[t->parameter], dtype_names[t->gradient],
		        dtype_names[t->state]);
	fputs("      ", out);
	if (recognised->batch_known)
		fprintf(out, "batch %s", text_count(t->batch).s);
	else
		fputs("batch not recognised; --batch says it", out);
	if (recognised->seq_known)
		fprintf(out, " %s sequence %s", sign(DOT), text_count(t->seq).s);
	else if (recognised->model.known)
		fprintf(out, " %s sequence %s, which is a guess; --seq changes it",
		        sign(DOT), text_count(t->seq).s);
	if (*recognised->batch_from)
		fprintf(out, ", by %s", recognised->batch_from);
	if (t->autocast)
		fprintf(out, " %s autocast %s", sign(DOT), dtype_names[t->activation]);
	if (recognised->recompute)
		fprintf(out, " %s checkpoints", sign(DOT));
	fputc('\n', out);
	if (!recognised->model.known) {
		char *text = format_text("the shape of the model is not known, because "
		                         "%s; --model names one",
		                         recognised->shapeless);
		fputs("      ", out);
		text_wrap(out, text, 6, 6);
		free(text);
	}
}

/* What spoke for another batch, and what else the trace and its config do not agree about. */
static void print_doubts(const struct recognised *recognised, FILE *out)
{
	for (int i = 0; i < recognised->claim_count; i++) {
		const struct claim *claim = &recognised->claims[i];
		if (i == recognised->taken || claim->peak < 0)
			continue;
		fprintf(out, "      %s, batch %s, would take %s%s\n", claim->from,
		        text_count(claim->batch).s, text_size(claim->peak).s,
		        claim->rows_agree || !recognised->loss_rows
		                ? ""
		                : "; the loss has other rows");
	}
	if (recognised->config_parameters &&
	    recognised->config_parameters != recognised->model.parameters)
		fprintf(out, "      the config's own sizes give %s parameters\n",
		        text_count(recognised->config_parameters).s);
}

static void print_head(const struct reconciled *r, FILE *out)
{
	const struct recognised *recognised = r->recognised;

	fprintf(out, "%sRECONCILE%s  %s %s %s parameters", style(BOLD), style(PLAIN),
	        *recognised->class ? recognised->class : "a model without a name",
	        sign(DOT), text_count(recognised->model.parameters).s);
	if (recognised->trainable != recognised->model.parameters)
		fprintf(out, ", %s trained", text_count(recognised->trainable).s);
	fputc('\n', out);
	print_training(recognised, out);
	print_doubts(recognised, out);
	fprintf(out, "      %s %s peak %s (%s), step %s, %s\n\n", r->device->name,
	        sign(DOT), text_size(r->point.allocated).s,
	        text_bytes(r->point.allocated).s, text_count(r->point.step).s,
	        trace_phase(r->trace, r->point.phase));
}

static bool is_empty(const struct row *row)
{
	return !row->measured && !row->predicted && !row->count;
}

static void print_rows(const struct reconciled *r, FILE *out)
{
	static const char *const heads[] = {"bucket", "formula", "measured",
	                                    "difference"};
	struct table *table = table_new("<>>>");

	for (int i = 0; i < 4; i++)
		table_cell(table, PLAIN, "%s", heads[i]);
	for (int i = 0; i < ROW_COUNT; i++) {
		const struct row *row = &r->rows[i];
		const char *name = trace_bucket(r->trace, i);
		if (is_empty(row))
			continue;
		table_cell(table, bucket_style(name), "%s", name);
		if (row->predicted)
			table_cell(table, PLAIN, "%s", text_size(row->predicted).s);
		else
			table_cell(table, PLAIN, "%s", sign(DASH));
		table_cell(table, PLAIN, "%s", text_size(row->measured).s);
		table_cell(table, PLAIN, "%s",
		           difference(row->measured - row->predicted).s);
	}
	table_print(table, out, 2, true);
	table_free(table);
}

static void line(struct table *table, enum style way, const char *text, int64_t bytes,
                 bool sum)
{
	table_cell(table, way, "%s", text);
	table_cell(table, way, "%s", sum ? text_size(bytes).s : difference(bytes).s);
}

static void print_causes(struct table *table, const char *bucket, const struct row *row,
                         int64_t top)
{
	int64_t more = 0, bytes = 0;

	if (row->count) {
		table_cell(table, bucket_style(bucket), "%s", bucket);
		table_cell(table, PLAIN, "%s", "");
	}
	for (size_t i = 0; i < row->count; i++) {
		char *text;
		if ((int64_t)i >= top) {
			more++;
			bytes += row->causes[i].bytes;
			continue;
		}
		text = format_text("  %s", row->causes[i].text);
		line(table, PLAIN, text, row->causes[i].bytes, false);
		free(text);
	}
	if (more) {
		char *text = format_text("  %s; --full shows all",
		                         text_plural(more, "smaller cause").s);
		line(table, DIM, text, bytes, false);
		free(text);
	}
}

static void print_way(const struct reconciled *r, int64_t top, FILE *out)
{
	struct table *table = table_new("->");
	int64_t formula = 0;

	for (int i = 0; i < ROW_COUNT; i++)
		formula += r->rows[i].predicted;
	fprintf(out, "\n  %sfrom the formula to the card%s\n", style(BOLD),
	        style(PLAIN));
	line(table, PLAIN, "the formula's sum", formula, true);
	for (int i = 0; i < ROW_CACHE; i++)
		print_causes(table, trace_bucket(r->trace, i), &r->rows[i], top);
	if (r->unseen)
		line(table, YELLOW, "blocks that no row of the trace explains",
		     r->unseen, false);
	line(table, BOLD, "= allocated", r->point.allocated, true);
	if (!is_empty(&r->rows[ROW_CACHE])) {
		print_causes(table, "cache", &r->rows[ROW_CACHE], top);
		line(table, BOLD, "= reserved", r->sample.reserved, true);
	}
	if (!is_empty(&r->rows[ROW_CONTEXT])) {
		print_causes(table, "context", &r->rows[ROW_CONTEXT], top);
		line(table, BOLD, "= in use on the card", r->sample.device_used, true);
	}
	table_print(table, out, 2, false);
	table_free(table);
}

static void print_verdict(const struct reconciled *r, FILE *out)
{
	const struct verdict *verdict = &r->verdict;
	bool agrees = verdict->kind == VERDICT_AGREES;
	int64_t away = verdict->predicted - r->point.allocated;

	if (verdict->kind == VERDICT_NONE)
		return;
	fprintf(out, "\n  %s%s%s  the formula's peak is %s: %s %s what was measured\n",
	        style(agrees ? GREEN : RED), agrees ? "AGREES" : "DISAGREES",
	        style(PLAIN), text_size(verdict->predicted).s,
	        text_percent(llabs(away), r->point.allocated).s,
	        away < 0 ? "below" : "above");
	if (verdict->basis == BASIS_INSTANT)
		fputs("  this is what the formula gives for that instant; when it "
		      "would "
		      "have its own\n  peak is not known for this training\n",
		      out);
	if (rows_first(db_rows(r->trace->db, "SELECT count(*) FROM oom WHERE step = ?",
	                       "i", r->point.step),
	               0))
		fputs("  the run ran out of memory in this step, and the formula "
		      "counts "
		      "all of a step\n",
		      out);
	if (verdict->count)
		fputs("  the largest causes of the difference\n", out);
	for (int i = 0; i < verdict->count; i++) {
		fprintf(out, "    %15s  %s: ", difference(verdict->causes[i].bytes).s,
		        trace_bucket(r->trace, verdict->causes[i].row));
		text_fit(out, verdict->causes[i].text, 46, KEEP_HEAD);
		fputc('\n', out);
	}
}

void reconcile_print(const struct reconciled *r, int64_t top, FILE *out)
{
	print_head(r, out);
	print_rows(r, out);
	print_way(r, top, out);
	if (r->unexplained)
		fprintf(out, "\n  %s%s unexplained%s (%s)\n", style(YELLOW),
		        text_bytes(r->unexplained).s, style(PLAIN),
		        text_size(r->unexplained).s);
	else
		fputs("\n  0 B unexplained: every byte of the difference has a cause\n",
		      out);
	print_verdict(r, out);
}
