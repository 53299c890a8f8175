/* plan.c - what training would take: the sum, its line over the batch, and the cards.
 * Called from: commands/, plan/. */
#include "plan.h"

#include <stdarg.h>
#include <stdlib.h>

#include "fail.h"
#include "heap.h"

void plan_note(struct plan *plan, const char *format, ...)
{
	va_list arguments;

	if (plan->note_count == PLAN_NOTES)
		return;
	va_start(arguments, format);
	plan->notes[plan->note_count++] = format_list(format, arguments);
	va_end(arguments);
}

/* The total is a straight line over the batch: its height at 0, and its slope. */
static void measure_line(struct plan *plan)
{
	struct training tried = plan->training;
	struct formula at;
	char why[128];

	tried.batch = 0;
	formula_compute(&plan->model, &tried, &at, why, sizeof(why));
	plan->fixed = at.total;
	tried.batch = 1;
	formula_compute(&plan->model, &tried, &at, why, sizeof(why));
	plan->sample = at.total - plan->fixed;
}

/* Backward makes gradients while it frees activations. Where they don't live on from
 * step to step, only the larger of the two is there with all the rest. */
static int64_t least_total(const struct formula *f)
{
	int64_t gradients = f->bucket[FORMULA_GRADIENT];
	int64_t activations = f->bucket[FORMULA_ACTIVATION];
	return f->total - (gradients < activations ? gradients : activations);
}

void plan_compute(struct plan *plan)
{
	char why[256], *gap;

	if (plan->unknown)
		return;
	if (formula_compute(&plan->model, &plan->training, &plan->formula, why,
	                    sizeof(why)))
		fail(STATUS_USAGE, "%s", why);
	measure_line(plan);
	plan->least = least_total(&plan->formula);
	plan_peak(plan);
	gap = plan_gap(plan);
	if (gap)
		plan_note(plan, "%s", gap);
	free(gap);
	plan_sweep(plan);
}

static void free_measured(struct plan *plan)
{
	struct measured *m = plan->measured;

	if (!m)
		return;
	for (int i = 0; i < plan->card_count; i++)
		free(m->cards[i].where);
	free(m->cards);
	free(m->card);
	free(m->model_class);
	free(m->attention);
	free(m->torch);
	free(m->transformers);
	free(m->phase);
	free(m->trace);
	free(m->bound);
	free(m);
}

void plan_free(struct plan *plan)
{
	model_free(&plan->model);
	free_measured(plan);
	free(plan->card_names);
	for (int i = 0; i < plan->kind_count; i++)
		free(plan->kinds[i]);
	for (int i = 0; i < plan->note_count; i++)
		free(plan->notes[i]);
}
