/* text.c - the answer of `plan` on one screen.
 * Called from: commands/plan.c. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "heap.h"
#include "tasks.h"
#include "text.h"

static struct small decimal(int64_t bytes)
{
	static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
	struct small text;
	double size = (double)bytes;
	int unit = -1;

	while (size >= 999.995 && unit < 5) {
		size /= 1000;
		unit++;
	}
	if (unit < 0)
		snprintf(text.s, sizeof(text.s), "%d B", (int)bytes);
	else
		snprintf(text.s, sizeof(text.s), "%.2f %s", size, units[unit]);
	return text;
}

/* Terms and notes are written in UTF-8; an ASCII screen gets twins of their signs. */
static void put(FILE *out, const char *text)
{
	static const struct {
		const char *sign, *twin;
	} twins[] = {{"×", "x"}, {"·", "-"}, {"²", "^2"}};

	while (*text) {
		bool replaced = false;
		for (size_t i = 0; !term.unicode && i < 3; i++) {
			size_t length = strlen(twins[i].sign);
			if (strncmp(text, twins[i].sign, length) != 0)
				continue;
			fputs(twins[i].twin, out);
			text += length;
			replaced = true;
			break;
		}
		if (!replaced)
			fputc(*text++, out);
	}
}

/* Words in lines no wider than the screen, each line indented. */
static void wrap(FILE *out, const char *text, int indent)
{
	char *plain = NULL;
	size_t length = 0;
	FILE *memory = open_memstream(&plain, &length);
	int column = 0;

	if (!memory)
		out_of_memory();
	put(memory, text);
	fclose(memory);
	for (char *rest = NULL, *word = strtok_r(plain, " ", &rest); word;
	     word = strtok_r(NULL, " ", &rest)) {
		int width = text_width(word);
		if (column && column + 1 + width > term.width - 1) {
			fputc('\n', out);
			column = 0;
		}
		if (column)
			column += fprintf(out, " ");
		else
			column = fprintf(out, "%*s", indent, "");
		fputs(word, out);
		column += width;
	}
	fputc('\n', out);
	free(plain);
}

/* The configuration in words, as far as it says something. */
static void describe(const struct plan *plan, FILE *out)
{
	const struct training *t = &plan->training;

	fputs(t->inference ? "inference" : optimizer_names[t->optimizer], out);
	if (t->implementation)
		fprintf(out, " %s", implementation_names[t->implementation]);
	if (plan->precision)
		fprintf(out, " · %s", plan->precision);
	fprintf(out, " · batch %s", text_count(t->batch).s);
	if (t->accumulate > 1)
		fprintf(out, " × %s before a step", text_count(t->accumulate).s);
	if (t->clip)
		fputs(" · clipped", out);
	if (plan->model.known && plan->model.shape.stages.window)
		fprintf(out, " · %s attention", attention_names[t->attention]);
	if (plan->sequence_counts && t->seq)
		fprintf(out, " · sequence %s · %s attention", text_count(t->seq).s,
		        attention_names[t->attention]);
	if (t->checkpoint)
		fprintf(out, " · checkpoint %s", checkpoint_names[t->checkpoint]);
	if (t->zero)
		fprintf(out, " · ZeRO-%d on %s devices", t->zero,
		        text_count(t->world).s);
	if (t->offload)
		fprintf(out, " · offload %s", offload_names[t->offload]);
	if (plan->model.known && task_of(&plan->model.shape) != TASK_CAUSAL_LM &&
	    task_of(&plan->model.shape) != TASK_COUNT)
		fprintf(out, " · %s", task_names[task_of(&plan->model.shape)]);
}

static void describe_dtypes(const struct training *t, FILE *out)
{
	bool adapters = t->lora_rank || t->lora_parameters;

	fprintf(out, "parameters %s", dtype_names[t->parameter]);
	if (!t->inference) {
		fprintf(out, " · gradients %s",
		        dtype_names[adapters ? t->adapter : t->gradient]);
		if (t->master)
			fprintf(out, " · master %s", dtype_names[t->master]);
		fprintf(out, " · states %s",
		        t->optimizer == OPTIMIZER_ADAM8BIT ? "int8"
		                                           : dtype_names[t->state]);
	}
	fprintf(out, " · activations %s", dtype_names[t->activation]);
}

static void print_head(const struct plan *plan, FILE *out)
{
	const struct formula *f = &plan->formula;
	char *text = NULL;
	size_t length;
	FILE *line;

	fprintf(out, "%sPLAN%s  ", style(BOLD), style(PLAIN));
	text_fit(out, plan->model.name, 34, KEEP_TAIL);
	fprintf(out, " %s %s parameters\n", sign(DOT),
	        text_count(plan->unknown ? plan->measured->parameters : f->parameters)
	                .s);
	if (f->trainable != f->parameters)
		fprintf(out, "      %s of them trained\n", text_count(f->trainable).s);
	for (int i = 0; i < 2; i++) {
		line = open_memstream(&text, &length);
		if (!line)
			out_of_memory();
		if (i)
			describe_dtypes(&plan->training, line);
		else
			describe(plan, line);
		fclose(line);
		wrap(out, text, 6);
		free(text);
	}
	fputc('\n', out);
}

static void print_row(FILE *out, const char *name, enum style shade, int64_t bytes,
                      int64_t total)
{
	fprintf(out, "  %s%-12s%s %12s %11s   %s", style(shade), name, style(PLAIN),
	        text_size(bytes).s, decimal(bytes).s, style(shade));
	text_bar(out, bytes, total, 24);
	fprintf(out, "%s %7s\n", style(PLAIN), text_percent(bytes, total).s);
}

static void rule(FILE *out)
{
	fputs("  ", out);
	for (int i = 0; i < 38; i++)
		fputs(sign(LINE), out);
	fputc('\n', out);
}

static void print_buckets(const struct plan *plan, FILE *out)
{
	static const char *const names[] = {"parameters", "gradients", "optimizer",
	                                    "activations", "overhead"};
	const struct formula *f = &plan->formula;

	for (int i = FORMULA_PARAMETER; i <= FORMULA_OVERHEAD; i++) {
		bool empty = !f->bucket[i] &&
		             (i == FORMULA_OVERHEAD ||
		              (plan->training.inference && i < FORMULA_ACTIVATION));
		if (i == FORMULA_ACTIVATION && !f->activations_known)
			fprintf(out, "  %-12s %12s\n", names[i], "not counted");
		else if (!empty)
			print_row(out, names[i], bucket_style(formula_bucket_names[i]),
			          f->bucket[i], f->total);
	}
	rule(out);
	fprintf(out, "  %s%-12s %12s %11s%s   %s B\n", style(BOLD), "total",
	        text_size(f->total).s, decimal(f->total).s, style(PLAIN),
	        text_count(f->total).s);
	if (plan->sample)
		fprintf(out, "  %-12s %12s %11s   and %s for each sample\n", "fixed",
		        text_size(plan->fixed).s, decimal(plan->fixed).s,
		        text_size(plan->sample).s);
	if (plan->least < f->total)
		fprintf(out,
		        "  %-12s %12s %11s   where zero_grad() frees the gradients\n",
		        "at least", text_size(plan->least).s, decimal(plan->least).s);
	if (f->bucket[FORMULA_HOST])
		fprintf(out, "  %-12s %12s %11s   beside it, in host memory\n", "host",
		        text_size(f->bucket[FORMULA_HOST]).s,
		        decimal(f->bucket[FORMULA_HOST]).s);
	if (plan->training.world > 1)
		fprintf(out, "  %-12s each of %s devices\n", "",
		        text_count(plan->training.world).s);
}

/* What was measured, before the change. */
static void print_began(const struct plan *plan, FILE *out)
{
	const struct traced *traced = &plan->traced;

	fprintf(out, "  %-12s %12s %11s   in %s, step %lld", "as traced",
	        text_size(traced->peak).s, decimal(traced->peak).s, traced->phase,
	        (long long)traced->step);
	if (traced->walked)
		fprintf(out, "; the walk says %s", text_size(traced->walk).s);
	fputc('\n', out);
}

/* Another batch, by the events of the traced step. */
static void print_scaled(const struct plan *plan, FILE *out)
{
	int64_t bytes = plan->traced.scaled;

	fprintf(out,
	        "\n%sPEAK%s  the traced step, with what follows the batch made as "
	        "large\n",
	        style(BOLD), style(PLAIN));
	fprintf(out, "  %s%-12s %12s %11s%s   at batch %s\n", style(BOLD), "peak",
	        text_size(bytes).s, decimal(bytes).s, style(PLAIN),
	        text_count(plan->training.batch).s);
	print_began(plan, out);
}

static void print_traced(const struct traced *traced, FILE *out)
{
	fprintf(out, "\n%sPEAK%s  as the trace measured it, on %s\n", style(BOLD),
	        style(PLAIN), traced->device);
	fprintf(out, "  %s%-12s %12s %11s%s   in %s, step %lld\n", style(BOLD), "peak",
	        text_size(traced->peak).s, decimal(traced->peak).s, style(PLAIN),
	        traced->phase, (long long)traced->step);
	if (traced->reserved >= 0)
		fprintf(out, "  %-12s %12s %11s   with what the allocator keeps\n",
		        "reserved", text_size(traced->reserved).s,
		        decimal(traced->reserved).s);
}

/* The peak over time: each phase's, and what stands at the largest. */
static void print_peak(const struct plan *plan, FILE *out)
{
	static const char *const names[TAPE_BUCKETS] = {"parameters",  "gradients",
	                                                "states",      "activations",
	                                                "temporaries", "workspaces"};
	const struct tape_totals *worst = walk_worst(&plan->walk);
	int64_t peak = plan_peak_bytes(plan);

	fprintf(out, "\n%sPEAK%s  of one step, computed tensor by tensor\n",
	        style(BOLD), style(PLAIN));
	for (int phase = TAPE_FORWARD; phase < TAPE_PHASES; phase++)
		if (worst->phase[phase].bytes)
			print_row(out, plan_phase_names[phase], PLAIN,
			          worst->phase[phase].bytes, worst->peak.bytes);
	rule(out);
	fprintf(out, "  %s%-12s %12s %11s%s   in %s\n", style(BOLD), "peak",
	        text_size(peak).s, decimal(peak).s, style(PLAIN),
	        plan_phase_names[worst->peak.phase]);
	if (plan->traced.known)
		print_began(plan, out);
	for (int bucket = 0; bucket < TAPE_BUCKETS; bucket++)
		if (worst->peak.bucket[bucket])
			fprintf(out, "  %-12s %12s\n", names[bucket],
			        text_size(worst->peak.bucket[bucket]).s);
	fprintf(out, "  %-12s %12s %11s   with what the allocator keeps\n", "reserved",
	        text_size(plan_need(plan)).s, decimal(plan_need(plan)).s);
}

static void print_terms(const struct formula *formula, FILE *out)
{
	for (int i = 0; i < formula->count; i++) {
		const struct formula_term *t = &formula->terms[i];
		char *line = format_text("%s = %s", t->formula, t->numbers);
		struct small bytes = text_bytes(t->bytes);
		int gap = 60 - text_width(t->name) - text_width(bytes.s);
		fprintf(out, "\n  %s%-11s%s ",
		        style(bucket_style(formula_bucket_names[t->bucket])),
		        formula_bucket_names[t->bucket], style(PLAIN));
		put(out, t->name);
		fprintf(out, "%*s%s\n", gap > 1 ? gap : 1, "", bytes.s);
		if (*t->formula)
			wrap(out, line, 14);
		fputs(style(DIM), out);
		wrap(out, t->source, 14);
		fputs(style(PLAIN), out);
		if (t->temporary)
			wrap(out, "exists only around the peak", 14);
		free(line);
	}
}

/* Is there a batch that fits? */
static bool print_card(const struct plan *plan, const struct card *card, FILE *out)
{
	int64_t available = plan_available(plan, card),
	        largest = plan_largest(plan, card);
	enum fit fit = plan_fit(plan, card);
	bool fits = fit != FIT_NO;
	const struct plan *there = plan_on(plan, card);
	int64_t need =
	        fits || !there->walked ? plan_need(there) : plan_peak_bytes(there);
	int64_t rest = available > need || !fits ? available - need : 0;

	fputs("  ", out);
	if (fit == FIT_OPEN)
		text_mark(out, YELLOW, "?");
	else
		text_mark(out, fits ? GREEN : RED, sign(fits ? CHECK : CROSS));
	fprintf(out, "%-17s %11s  %11s %s", card->name, text_size(card->bytes).s,
	        text_size(fits ? rest : -rest).s,
	        fit == FIT_OPEN ? "left"
	        : fits          ? "free"
	                        : "short");
	if (largest > 0 && plan_peak_bytes(there) < 0)
		fprintf(out, "%*sbatch %s by the sum", fits ? 3 : 2, "",
		        text_count(largest).s);
	else if (largest > 0)
		fprintf(out, "%*sbatch up to %s", fits ? 4 : 3, "",
		        text_count(largest).s);
	else if (!largest)
		fprintf(out, "%*snot one sample", fits ? 4 : 3, "");
	fputc('\n', out);
	return largest > 0;
}

/* Which cards one line answers for: those of much the same memory, named by the smallest. */
static int last_alike(const struct plan *plan, int first)
{
	int last = first;

	while (last + 1 < plan->card_count &&
	       plan_on(plan, &plan->cards[last + 1]) ==
	               plan_on(plan, &plan->cards[first]) &&
	       plan->cards[last + 1].bytes <= plan->cards[first].bytes * 11 / 10)
		last++;
	return last;
}

static void wrap_names(const struct plan *plan, int from, int to, const char *head,
                       int indent, FILE *out)
{
	char *text = NULL;
	size_t size;
	FILE *names = open_memstream(&text, &size);

	for (int i = from; i <= to; i++)
		fprintf(names, "%s%s", i > from ? ", " : head, plan->cards[i].name);
	fclose(names);
	wrap(out, text, indent);
	free(text);
}

/* The largest batch is one that was seen to find room. */
static void print_doubt(FILE *out)
{
	fprintf(out,
	        "  %s left for small tensors that are not gone through: one or two "
	        "samples more may fit\n",
	        text_size(plan_unlisted_bytes()).s);
}

/* Without --gpu: a line for each size of memory that does, and one for all that don't. The list
 * begins with the smallest. */
static void print_cards(const struct plan *plan, FILE *out)
{
	int64_t least = plan_context(plan, &plan->cards[0]), most = least;
	bool any = false;
	int small = 0;

	for (int i = 1; i < plan->card_count; i++) {
		int64_t context = plan_context(plan, &plan->cards[i]);
		least = context < least ? context : least;
		most = context > most ? context : most;
	}
	fprintf(out, "\n%sCARDS%s  of each, the CUDA context takes %s", style(BOLD),
	        style(PLAIN), text_size(least).s);
	if (most > least)
		fprintf(out, " to %s", text_size(most).s);
	fputc('\n', out);
	for (int i = 0; plan->cards_named && i < plan->card_count; i++)
		any = print_card(plan, &plan->cards[i], out) || any;
	if (plan->cards_named) {
		if (any && plan->walked && !quiet)
			print_doubt(out);
		return;
	}
	while (small < plan->card_count &&
	       plan_fit(plan, &plan->cards[small]) == FIT_NO)
		small++;
	for (int i = small, last; i < plan->card_count; i = last + 1) {
		last = last_alike(plan, i);
		print_card(plan, &plan->cards[i], out);
		if (last > i)
			wrap_names(plan, i + 1, last,
			           "with the same memory or a little more: ", 5, out);
	}
	if (small == plan->card_count)
		fputs("  too large for every card that is known\n", out);
	else if (small)
		wrap_names(plan, 0, small - 1, "too small: ", 2, out);
	if (plan->walked && small < plan->card_count)
		fputs("  batches are estimates: with --gpu a card's allocator is gone "
		      "through\n",
		      out);
}

/* What to type next. */
static void print_next(const struct plan *plan, bool explain, FILE *out)
{
	const struct measured *m = plan->measured;

	if (!m && explain)
		return;
	fprintf(out, "\n  %snext%s  ", style(DIM), style(PLAIN));
	if (m && m->trace)
		fprintf(out, "tidemark reconcile %s\n", m->trace);
	else if (m)
		fprintf(out, "add -o FILE to keep the trace; then tidemark reconcile "
		             "FILE\n");
	else
		fprintf(out, "add --explain to see each term with its numbers and its "
		             "source\n");
}

void plan_print(const struct plan *plan, bool explain, FILE *out)
{
	print_head(plan, out);
	if (plan->measured)
		plan_print_measured(plan, out);
	else
		print_buckets(plan, out);
	if (plan_as_traced(plan))
		print_traced(&plan->traced, out);
	else if (!plan->measured && plan->walked)
		print_peak(plan, out);
	else if (!plan->measured && plan->traced.scaled)
		print_scaled(plan, out);
	if (explain)
		print_terms(&plan->formula, out);
	if (plan->sweep.count)
		plan_sweep_print(plan, out);
	else if (!plan->measured)
		print_cards(plan, out);
	if (plan->note_count && !quiet)
		fputc('\n', out);
	for (int i = 0; i < plan->note_count && !quiet; i++)
		wrap(out, plan->notes[i], 2);
	if (!quiet)
		print_next(plan, explain, out);
}
