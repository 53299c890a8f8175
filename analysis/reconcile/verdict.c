/* verdict.c - does the formula's peak agree with what was measured?
 * Called from: reconcile.c. */
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "reconcile.h"
#include "text.h"
#include "walk.h"

enum { PERCENT_AGREES = 5 };

static bool is_large(const struct reconciled *r, int64_t bytes)
{
	return llabs(bytes) > r->point.allocated / 100 * PERCENT_AGREES;
}

/* The walk knows the kernels of cards. */
static bool on_a_card(const struct reconciled *r)
{
	return strncmp(r->device->name, "cuda", 4) == 0;
}

/* The walk goes through two steps; the first makes the states, the second stands for all after. */
static bool walk_peak(struct reconciled *r)
{
	const struct recognised *known = r->recognised;
	struct walk walk;
	const struct tape_peak *peak;
	struct training training;
	struct model model;
	bool walked;

	if (!on_a_card(r) || !known->batch_known)
		return false;
	walked = recognised_whole(known, &model, &training);
	training.silicon = card_silicon(r->device->product);
	walked = walked && walk_training(&model, &training, INT64_MAX, &walk);
	model_free(&model);
	if (!walked)
		return false;
	peak = r->point.step <= 1 ? &walk.first.peak : &walk.later.peak;
	r->verdict.predicted = peak->bytes;
	memcpy(r->verdict.bucket, peak->bucket, sizeof(peak->bucket));
	r->verdict.basis = BASIS_WALK;
	return true;
}

/* The workspaces of cuBLAS: a handle for the thread of the forward and one for the backward's; and
 * that of cublasLt, which adds biases. */
static int64_t workspaces(const struct reconciled *r)
{
	bool first = r->point.step <= 1 && r->point.phase == PHASE_FORWARD;
	struct training training = {.batch = 1};
	bool multiplied = db_number(r->trace->db, 0,
	                            "SELECT EXISTS (SELECT 1 FROM multiplication)");
	bool added = db_number(r->trace->db, 0,
	                       "SELECT EXISTS (SELECT 1 FROM op WHERE name = "
	                       "'aten::addmm')");

	if (!multiplied || !on_a_card(r))
		return 0;
	training.silicon = card_silicon(r->device->product);
	return (first ? 1 : 2) * walk_cublas_workspace(&training) +
	       (added ? WALK_CUBLASLT_WORKSPACE : 0);
}

/* What the formula counts and what stood at the peak's instant: without what was freed before it
 * or made after it. The data is what it was. */
static int64_t at_that_instant(const struct reconciled *r)
{
	int64_t bytes = workspaces(r);

	for (int i = 0; i < ROW_CACHE; i++) {
		bytes += r->rows[i].predicted;
		for (size_t k = 0; k < r->rows[i].count; k++) {
			const struct cause *cause = &r->rows[i].causes[k];
			if (cause->kind == CAUSE_FREED || cause->kind == CAUSE_LATER ||
			    cause->kind == CAUSE_INPUT)
				bytes += cause->bytes;
		}
	}
	return bytes;
}

/* The causes that speak against the formula: not those of time and of workspaces, which either way
 * of counting knows; and beside a walk not those that it has and a list of tensors has not. */
static bool speaks(const struct reconciled *r, const struct cause *cause)
{
	switch (cause->kind) {
	case CAUSE_ROUNDING:
	case CAUSE_UNSPLIT:
	case CAUSE_FREED:
	case CAUSE_LATER:
	case CAUSE_WORKSPACE:
	case CAUSE_INPUT:
		return false;
	case CAUSE_TEMPORARY:
	case CAUSE_RECOMPUTED:
		return r->verdict.basis != BASIS_WALK;
	default:
		return true;
	}
}

/* Keeps the largest, largest first; text becomes the verdict's. */
static void keep_largest(struct verdict *verdict, int row, char *text, int64_t bytes)
{
	int at = verdict->count;

	while (at && llabs(verdict->causes[at - 1].bytes) < llabs(bytes))
		at--;
	if (at == VERDICT_CAUSES) {
		free(text);
		return;
	}
	if (verdict->count < VERDICT_CAUSES)
		verdict->count++;
	else
		free(verdict->causes[VERDICT_CAUSES - 1].text);
	memmove(verdict->causes + at + 1, verdict->causes + at,
	        (size_t)(verdict->count - at - 1) * sizeof(*verdict->causes));
	verdict->causes[at].row = row;
	verdict->causes[at].text = text;
	verdict->causes[at].bytes = bytes;
}

/* What a bucket of the walk has more or less than the measured one, beyond the causes of it that
 * were told already. */
static void compare_buckets(struct reconciled *r, const int64_t *told)
{
	static const int rows[TAPE_BUCKETS] = {
	        [TAPE_PARAMETER] = ROW_PARAMETER, [TAPE_GRADIENT] = ROW_GRADIENT,
	        [TAPE_STATE] = ROW_OPTIMIZER,     [TAPE_ACTIVATION] = ROW_ACTIVATION,
	        [TAPE_TEMPORARY] = ROW_TEMPORARY, [TAPE_WORKSPACE] = ROW_WORKSPACE};

	for (int i = 0; i < TAPE_BUCKETS; i++) {
		int64_t measured = r->rows[rows[i]].measured,
		        walked = r->verdict.bucket[i],
		        away = measured - walked - told[rows[i]];
		if (away)
			keep_largest(&r->verdict, rows[i],
			             format_text("%s measured, %s in the walk",
			                         text_size(measured).s,
			                         text_size(walked).s),
			             away);
	}
}

static void find_causes(struct reconciled *r)
{
	int64_t told[ROW_COUNT] = {0};

	for (int i = 0; i < ROW_CACHE; i++)
		for (size_t k = 0; k < r->rows[i].count; k++) {
			const struct cause *cause = &r->rows[i].causes[k];
			if (!speaks(r, cause))
				continue;
			told[i] += cause->bytes;
			keep_largest(&r->verdict, i, copy_text(cause->text),
			             cause->bytes);
		}
	if (r->verdict.basis == BASIS_WALK)
		compare_buckets(r, told);
}

/* What was found to have no place and no reason counts as not explained, where it is much. */
static void count_bare(struct reconciled *r)
{
	for (int i = 0; i < ROW_CACHE; i++)
		for (size_t k = 0; k < r->rows[i].count; k++) {
			struct cause *cause = &r->rows[i].causes[k];
			cause->bare = cause->bare &&
			              r->verdict.kind != VERDICT_AGREES &&
			              is_large(r, cause->bytes);
			if (cause->bare)
				r->unexplained += llabs(cause->bytes);
		}
}

void reconcile_judge(struct reconciled *r)
{
	struct verdict *verdict = &r->verdict;
	int64_t away;

	*verdict = (struct verdict){.kind = VERDICT_NONE, .predicted = -1};
	if (r->device->id != r->recognised->device->id)
		return;
	if (!walk_peak(r) && r->recognised->batch_known) {
		verdict->predicted = at_that_instant(r);
		verdict->basis = BASIS_INSTANT;
	}
	if (verdict->predicted >= 0) {
		away = verdict->predicted - r->point.allocated;
		verdict->kind = is_large(r, away) ? VERDICT_DISAGREES : VERDICT_AGREES;
	}
	count_bare(r);
	if (verdict->kind == VERDICT_DISAGREES)
		find_causes(r);
}
