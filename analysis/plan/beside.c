/* beside.c - what was measured beside what the formula predicts, on the screen and as JSON.
 * Called from: json.c, measure/measure.c, text.c. */
#include "plan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "heap.h"
#include "text.h"

struct row {
	const char *name, *bucket;
	int64_t predicted, measured, at_peak; /* -1: there is no such figure */
};

enum {
	ROW_PARAMETER,
	ROW_GRADIENT,
	ROW_OPTIMIZER,
	ROW_ACTIVATION,
	COMPARED,
	ROW_SCRATCH = COMPARED,
	ROW_OTHER,
	ROWS
};

/* Scratch memory belongs to the activations while a model computes; an optimizer's does not. */
static bool computes(const char *phase)
{
	return phase && (!strcmp(phase, "forward") || !strcmp(phase, "backward") ||
	                 !strcmp(phase, "recompute"));
}

static void make_rows(const struct plan *plan, struct row row[ROWS])
{
	const struct measured *m = plan->measured;
	const struct formula *f = &plan->formula;
	bool known = !plan->unknown;

	row[ROW_PARAMETER] = (struct row){"parameters", "parameter", 0, m->parameter,
	                                  m->at_peak[BUCKET_PARAMETER]};
	row[ROW_GRADIENT] = (struct row){"gradients", "gradient", 0, m->gradient,
	                                 m->at_peak[BUCKET_GRADIENT]};
	row[ROW_OPTIMIZER] = (struct row){"optimizer", "optimizer", 0, m->optimizer,
	                                  m->at_peak[BUCKET_OPTIMIZER]};
	row[ROW_ACTIVATION] = (struct row){
	        "activations", "activation", 0, m->activation,
	        m->at_peak[BUCKET_ACTIVATION] + m->at_peak[BUCKET_INPUT] +
	                (computes(m->phase) ? m->at_peak[BUCKET_TEMPORARY] : 0)};
	row[ROW_SCRATCH] =
	        (struct row){"temporary", "temporary", -1, -1,
	                     computes(m->phase) ? 0 : m->at_peak[BUCKET_TEMPORARY]};
	row[ROW_OTHER] = (struct row){"other", NULL, -1, -1, m->allocated};
	for (int i = 0; i < COMPARED; i++)
		row[i].predicted = known ? f->bucket[FORMULA_PARAMETER + i] : -1;
	for (int i = 0; i < ROW_OTHER; i++)
		row[ROW_OTHER].at_peak -= row[i].at_peak;
}

static const char *off(int64_t predicted, int64_t measured, char text[16])
{
	double percent;

	if (predicted < 0 || measured <= 0)
		return "";
	percent = 100 * ((double)predicted - (double)measured) / (double)measured;
	if (percent > 9999)
		return "> 9999 %";
	if (percent > -0.05 && percent < 0.05)
		percent = 0;
	snprintf(text, 16, percent ? "%+.1f %%" : "%.1f %%", percent);
	return text;
}

int64_t measured_context(const struct plan *plan)
{
	return plan->context_given ? plan->context : plan->measured->context;
}

static void put_size(FILE *out, int64_t bytes)
{
	fprintf(out, " %12s", bytes < 0 ? "-" : text_size(bytes).s);
}

static void put_row(FILE *out, const struct row *row)
{
	enum style shade = row->bucket ? bucket_style(row->bucket) : PLAIN;
	char text[16];

	fprintf(out, "  %s%-12s%s", style(shade), row->name, style(PLAIN));
	put_size(out, row->predicted);
	put_size(out, row->measured);
	fprintf(out, " %9s", off(row->predicted, row->measured, text));
	put_size(out, row->at_peak);
	fputc('\n', out);
}

static void print_buckets(const struct plan *plan, FILE *out)
{
	const struct measured *m = plan->measured;
	int64_t total = plan->unknown  ? -1
	                : plan->walked ? walk_worst(&plan->walk)->peak.bytes
	                               : plan->formula.total;
	struct row row[ROWS];
	char text[16];

	make_rows(plan, row);
	fprintf(out, "  %s%-12s %12s %12s %9s %12s%s\n", style(DIM), "", "predicted",
	        "measured", "off", "at the peak", style(PLAIN));
	for (int i = 0; i < ROWS; i++)
		if (row[i].measured > 0 || row[i].predicted > 0 || row[i].at_peak)
			put_row(out, &row[i]);
	fputs("  ", out);
	for (int i = 0; i < 61; i++)
		fputs(sign(LINE), out);
	fprintf(out, "\n  %s%-12s", style(BOLD), "peak");
	put_size(out, total);
	put_size(out, m->allocated);
	fprintf(out, " %9s", off(total, m->allocated, text));
	put_size(out, m->allocated);
	fprintf(out, "%s\n\n", style(PLAIN));
}

/* Which figures are which. */
static void print_meaning(const struct plan *plan, FILE *out)
{
	const struct measured *m = plan->measured;
	bool exact = m->bound && !strcmp(m->bound, "exact");
	char *text = format_text(
	        "%s, two steps on a simulated %s in %.1f s; torch %s, transformers %s. "
	        "Each bucket at its own largest; the peak is in %s, step %" PRId64 "%s",
	        m->model_class, m->card, (double)m->milliseconds / 1000, m->torch,
	        m->transformers, m->phase, m->step,
	        exact ? ""
	              : ". Some sizes came from values that a simulated device does "
	                "not "
	                "compute: it takes at least so much");

	fprintf(out, "  predicted  %s\n",
	        plan->unknown  ? "nothing: the formula does not know this model"
	        : plan->walked ? "by formula; its peak by one step, computed"
	                       : "by formula; its peak is the sum of its buckets");
	fprintf(out, "  measured   ");
	text_wrap(out, text, 13, 13);
	free(text);
}

/* What a card must have. */
static void print_need(const struct plan *plan, FILE *out)
{
	const struct measured *m = plan->measured;
	int64_t context = measured_context(plan);

	fprintf(out, "\n  %-24s %12s\n", "peak allocated, measured",
	        text_size(m->allocated).s);
	fprintf(out, "  %-24s %12s   with what PyTorch keeps cached\n",
	        "peak reserved, measured", text_size(m->reserved).s);
	fprintf(out, "  %-24s %12s   %s\n",
	        plan->context_given ? "context, given" : "context, of the card",
	        text_size(context).s,
	        plan->context_given ? "--context" : "as the simulated device has it");
	fprintf(out, "  %s%-24s %12s%s\n", style(BOLD), "needed on a card",
	        text_size(m->reserved + context).s, style(PLAIN));
}

static void print_card(const struct plan *plan, int index, FILE *out)
{
	static const enum sign signs[] = {CROSS, CHECK};
	const struct card *card = &plan->cards[index];
	const struct measured *m = plan->measured;
	const struct measured_card *answer = &m->cards[index];
	int64_t context = measured_context(plan);
	int64_t rest = card->bytes - m->reserved - context;
	bool yes = answer->fit == MEASURED_YES;
	const char *mark =
	        answer->fit == MEASURED_OPEN ? "?" : sign(signs[answer->fit]);

	fputs("  ", out);
	text_mark(out, yes ? GREEN : answer->fit == MEASURED_OPEN ? YELLOW : RED, mark);
	fprintf(out, "%-16s %11s  ", card->name, text_size(card->bytes).s);
	if (answer->fit == MEASURED_OPEN)
		fprintf(out, "without its cache; --gpu %s tries\n", card->name);
	else if (yes && rest < 0)
		fprintf(out, "fits when tried: the cache gives way\n");
	else if (yes)
		fprintf(out, "%11s free\n", text_size(rest).s);
	else if (answer->where)
		text_wrap(out, answer->where, 35, 35);
	else
		fprintf(out, "%11s short\n",
		        text_size(m->allocated + context - card->bytes).s);
}

static void print_cards(const struct plan *plan, FILE *out)
{
	char small[512] = "";

	fprintf(out, "\n%sCARDS%s  by what was measured\n", style(BOLD), style(PLAIN));
	for (int i = 0; i < plan->card_count; i++) {
		size_t length = strlen(small);
		if (plan->cards_named || plan->measured->cards[i].fit != MEASURED_NO)
			print_card(plan, i, out);
		else
			snprintf(small + length, sizeof(small) - length, "%s%s",
			         length ? ", " : "too small: ", plan->cards[i].name);
	}
	if (*small) {
		fputs("  ", out);
		text_wrap(out, small, 2, 2);
	}
}

void plan_print_measured(const struct plan *plan, FILE *out)
{
	print_buckets(plan, out);
	print_meaning(plan, out);
	print_need(plan, out);
	print_cards(plan, out);
}

static void json_rows(const struct plan *plan, struct json *json)
{
	struct row row[ROWS];

	make_rows(plan, row);
	json_array(json, "buckets");
	for (int i = 0; i < COMPARED; i++) {
		json_object(json, NULL);
		json_text(json, "bucket", row[i].bucket);
		json_known(json, "predicted_bytes", row[i].predicted);
		json_number(json, "measured_bytes", row[i].measured);
		json_number(json, "at_peak_bytes", row[i].at_peak);
		json_end(json);
	}
	json_end(json);
}

void plan_json_measured(const struct plan *plan, struct json *json)
{
	const struct measured *m = plan->measured;
	static const char *const names[BUCKETS] = {
#define X(id, number, name) [number] = name,
	        SCHEMA_BUCKETS(X)
#undef X
	};

	json_object(json, "measured");
	json_number(json, "peak_allocated_bytes", m->allocated);
	json_number(json, "peak_reserved_bytes", m->reserved);
	json_text(json, "peak_phase", m->phase);
	json_number(json, "peak_step", m->step);
	json_number(json, "context_bytes", m->context);
	json_number(json, "needed_bytes", m->reserved + measured_context(plan));
	json_number(json, "parameters", m->parameters);
	json_number(json, "parameter_bytes", m->parameter);
	json_number(json, "gradient_bytes", m->gradient);
	json_number(json, "optimizer_bytes", m->optimizer);
	json_number(json, "activation_bytes", m->activation);
	json_number(json, "buffer_bytes", m->buffer);
	json_rows(plan, json);
	json_array(json, "by_bucket");
	for (int b = 0; b < BUCKETS; b++) {
		if (!m->at_peak[b] || !names[b])
			continue;
		json_object(json, NULL);
		json_text(json, "bucket", names[b]);
		json_number(json, "bytes", m->at_peak[b]);
		json_end(json);
	}
	json_end(json);
	json_text(json, "bound", m->bound);
	json_text(json, "trace", m->trace);
	json_text(json, "gpu", m->card);
	json_text(json, "model_class", m->model_class);
	json_text(json, "attention", m->attention);
	json_text(json, "torch", m->torch);
	json_text(json, "transformers", m->transformers);
	json_seconds(json, "seconds", m->milliseconds);
	json_end(json);
}
