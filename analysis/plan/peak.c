/* peak.c - the peak over time, and the cards that it fits on.
 * Called from: plan/. */
#include "plan.h"

#include <stdlib.h>

#include "heap.h"
#include "segments.h"

const char *const plan_phase_names[TAPE_PHASES] = {"setup",     "forward", "backward",
                                                   "recompute", "clip",    "optimizer"};

int64_t plan_context(const struct plan *plan, const struct card *card)
{
	return plan->cards_named && !plan->context_given && card->context
	               ? card->context
	               : plan->context;
}

int64_t plan_available(const struct plan *plan, const struct card *card)
{
	int64_t context = plan_context(plan, card);

	return card->bytes > context ? card->bytes - context : 0;
}

bool plan_as_traced(const struct plan *plan)
{
	return plan->traced.known && !plan->traced.changed;
}

/* What the walk says of a training, set against what was measured of the one it began with. Where
 * the walk and the measurement are not within 5 % of each other, the larger of their difference
 * and their ratio is taken. */
static int64_t beside_traced(const struct traced *traced, int64_t measured,
                             int64_t walked, int64_t bytes)
{
	int64_t added = bytes + measured - walked, scaled;

	if (!traced->walked || measured < 0)
		return bytes;
	if (llabs(measured - walked) <= measured / 20)
		return added;
	scaled = (int64_t)((double)bytes / (double)walked * (double)measured);
	return scaled > added ? scaled : added;
}

static int64_t adjusted_peak(const struct plan *plan, int64_t bytes)
{
	return beside_traced(&plan->traced, plan->traced.peak, plan->traced.walk,
	                     bytes);
}

static int64_t adjusted_reserved(const struct plan *plan, int64_t bytes)
{
	return beside_traced(&plan->traced, plan->traced.reserved,
	                     plan->traced.walk_reserved, bytes);
}

int64_t plan_peak_bytes(const struct plan *plan)
{
	if (plan_as_traced(plan))
		return plan->traced.peak;
	if (plan->walked)
		return adjusted_peak(plan, walk_worst(&plan->walk)->peak.bytes);
	return plan->traced.scaled ? plan->traced.scaled : -1;
}

static int64_t most_reserved(const struct walk *walk)
{
	return walk->first.reserved > walk->later.reserved ? walk->first.reserved
	                                                   : walk->later.reserved;
}

static void walk_the_traced(struct plan *plan)
{
	struct traced *traced = &plan->traced;
	struct walk walk;

	traced->training.silicon = traced->silicon;
	if (!traced->known || !traced->batch_known || !traced->seq_known ||
	    !walk_training(&plan->model, &traced->training, INT64_MAX, &walk))
		return;
	traced->walked = true;
	traced->walk = walk_worst(&walk)->peak.bytes;
	traced->walk_reserved = most_reserved(&walk);
}

/* Peaks at batches of 1, 2, 4, …, up to one that no card has. Between two of them a peak is no
 * larger than the line that joins them: it is the largest of sums that are straight lines. */
static void measure_peaks(struct plan *plan)
{
	struct training tried = plan->training;
	int64_t most = 0;
	struct walk walk;

	for (int i = 0; i < plan->card_count; i++)
		if (plan->cards[i].bytes > most)
			most = plan->cards[i].bytes;
	for (tried.batch = 1; plan->line_count < PLAN_LINE; tried.batch *= 2) {
		if (!walk_training(&plan->model, &tried, 0, &walk))
			return;
		plan->line[plan->line_count] = walk_worst(&walk)->peak;
		plan->line[plan->line_count].bytes =
		        adjusted_peak(plan, walk_worst(&walk)->peak.bytes);
		plan->line_count++;
		if (plan->line[plan->line_count - 1].bytes > most)
			return;
	}
}

static void find_peak(struct plan *plan)
{
	walk_the_traced(plan);
	if (plan->traced.known && !plan->traced.walked) {
		/* what the walk does not know of the trace, it does not of its change */
		for (; plan->traced.scaled && plan->line_count < PLAN_LINE;
		     plan->line_count++)
			plan->line[plan->line_count].bytes =
			        plan->traced.line[plan->line_count];
		return;
	}
	plan->walked =
	        plan->training.activations == ACTIVATIONS_TORCH &&
	        plan->training.overhead_ppm == 1000000 &&
	        walk_training(&plan->model, &plan->training, INT64_MAX, &plan->walk);
	if (plan->walked)
		measure_peaks(plan);
}

static bool same_silicon(const struct silicon *a, const struct silicon *b)
{
	return a->major == b->major && a->multiprocessors == b->multiprocessors &&
	       a->threads == b->threads;
}

/* Of a card that is named, its own. Where all are listed, those before Ampere are taken for the T4
 * and the others for the A100: what sums work in is small, and which kernels there are is not. */
static struct silicon silicon_on(const struct plan *plan, const struct card *card)
{
	const struct training *r = &plan->training;
	bool half = r->autocast || r->parameter != DTYPE_FP32;

	if (plan->cards_named || !card->silicon.major)
		return card->silicon;
	return card->silicon.major < 8 && half && r->attention == ATTENTION_FLASH
	               ? (struct silicon){7, 40, 1024}
	               : (struct silicon){.major = 0};
}

const struct plan *plan_on(const struct plan *plan, const struct card *card)
{
	struct silicon silicon = silicon_on(plan, card);

	for (int i = 0; i < plan->kind_count; i++)
		if (same_silicon(&plan->kinds[i]->training.silicon, &silicon))
			return plan->kinds[i];
	return plan;
}

static void add_kind(struct plan *plan, struct silicon silicon)
{
	struct plan *kind = allocate(sizeof(*kind));

	*kind = *plan;
	kind->kind_count = kind->line_count = 0;
	kind->training.silicon = silicon;
	find_peak(kind);
	plan->kinds[plan->kind_count++] = kind;
}

void plan_peak(struct plan *plan)
{
	if (plan->cards_named && plan->card_count)
		plan->training.silicon = silicon_on(plan, &plan->cards[0]);
	find_peak(plan);
	for (int i = 0; i < plan->card_count && plan->kind_count < PLAN_KINDS; i++) {
		struct silicon silicon = silicon_on(plan, &plan->cards[i]);
		if (!same_silicon(&silicon, &plan->training.silicon) &&
		    plan_on(plan, &plan->cards[i]) == plan)
			add_kind(plan, silicon);
	}
}

/* What the allocator kept of each byte that it had given out at the most, in the traced run. */
static double kept(const struct plan *plan)
{
	const struct traced *traced = &plan->traced;

	return traced->reserved > traced->peak && traced->peak
	               ? (double)traced->reserved / (double)traced->peak
	               : 1;
}

int64_t plan_need(const struct plan *plan)
{
	int64_t peak = plan_peak_bytes(plan), reserved = -1;

	if (plan_as_traced(plan))
		reserved = plan->traced.reserved;
	else if (plan->walked)
		reserved = adjusted_reserved(plan, most_reserved(&plan->walk));
	else if (peak < 0)
		return plan->formula.total;
	else
		reserved = (int64_t)((double)peak * kept(plan));
	return reserved > peak ? reserved : peak;
}

/* Does the allocator find room for a training in so many bytes? */
static bool has_room(const struct plan *plan, const struct training *training,
                     int64_t bytes)
{
	struct walk walk;

	bytes -= adjusted_peak(plan, bytes) - bytes; /* what the walk does not see */
	return bytes > 0 && walk_training(&plan->model, training, bytes, &walk) &&
	       !walk.later.refused;
}

static bool finds_room(const struct plan *plan, int64_t batch, int64_t bytes)
{
	struct training tried = plan->training;

	tried.batch = batch;
	return has_room(plan, &tried, bytes);
}

enum fit plan_fit(const struct plan *whole, const struct card *card)
{
	const struct plan *plan = plan_on(whole, card);
	int64_t available = plan_available(plan, card);
	bool given_back;

	if (plan_peak_bytes(plan) < 0)
		return plan_need(plan) > available        ? FIT_NO
		       : plan_sum_is_asked(plan, NULL, 0) ? FIT_YES
		                                          : FIT_OPEN;
	if (plan_need(plan) <= available)
		return FIT_YES;
	/* what is cached is given back before a request is refused */
	given_back = plan->walked && !plan_as_traced(plan) &&
	             plan_peak_bytes(plan) <= available &&
	             finds_room(plan, plan->training.batch, available);
	return given_back ? FIT_YES : FIT_NO;
}

/* The largest batch whose peak is below: on the line between two that were measured. */
static int64_t on_the_line(const struct plan *plan, int64_t bytes)
{
	int64_t batch = 1;

	for (int i = 0; i < plan->line_count; i++, batch *= 2) {
		double low, step;
		if (plan->line[i].bytes <= bytes)
			continue;
		if (!i)
			return 0;
		low = (double)plan->line[i - 1].bytes;
		step = (double)plan->line[i].bytes - low;
		return batch / 2 +
		       (int64_t)(((double)bytes - low) / step * (double)(batch / 2));
	}
	return batch / 2;
}

int64_t plan_unlisted_bytes(void)
{
	enum { SMALL = 1, LARGE = 2 << 20 };

	return segment_size(SMALL) + segment_size(LARGE);
}

/* The largest batch that the allocator finds room for, looked for from `high` on. */
static int64_t largest_below(const struct plan *plan, int64_t high, int64_t available)
{
	int64_t low = 0;

	/* holes take up to a tenth; mostly nothing */
	for (int64_t step = 1; high > 1; step *= 2) {
		low = high - step > 0 ? high - step : 0;
		if (!low || finds_room(plan, low, available))
			break;
		high = low;
	}
	while (high - low > 1) {
		int64_t middle = low + (high - low) / 2;
		if (finds_room(plan, middle, available))
			low = middle;
		else
			high = middle;
	}
	/* and above the line, which is never too high */
	while (low && finds_room(plan, low + 1, available))
		low++;
	return low;
}

int64_t plan_largest(const struct plan *whole, const struct card *card)
{
	const struct plan *plan = plan_on(whole, card);
	int64_t available = plan_available(plan, card), low;

	if (plan->traced.known && !plan->walked && !plan->line_count)
		return -1; /* what another batch takes is not known */
	if (plan->traced.known && !plan->walked)
		return on_the_line(plan, (int64_t)((double)available / kept(plan)));
	if (!plan->walked || !plan->line_count)
		return formula_largest_batch(&plan->model, &plan->training, available);
	if (!plan->cards_named) /* many cards: some room is left for holes instead */
		return on_the_line(plan, available - available / 50);
	low = largest_below(plan, on_the_line(plan, available) + 1,
	                    available - plan_unlisted_bytes());
	/* holes lie elsewhere where there is more room, so that is tried too */
	while (low && !finds_room(plan, low, available))
		low--;
	return low;
}

/* Between two batches that were gone through, and beyond the last on the same line. */
static int64_t scaled_to(const struct traced *traced, int64_t batch)
{
	int64_t low = 1;
	int at = 0;

	for (; at < PLAN_LINE - 2 && low * 2 <= batch; low *= 2)
		at++;
	return traced->line[at] +
	       (int64_t)((double)(traced->line[at + 1] - traced->line[at]) *
	                 ((double)(batch - low) / (double)low));
}

static void try_walk(const struct plan *plan, const struct walk *walk,
                     struct sweep_row *row)
{
	row->peak = adjusted_peak(plan, walk_worst(walk)->peak.bytes);
	row->reserved = adjusted_reserved(plan, most_reserved(walk));
	row->phase = plan_phase_names[walk_worst(walk)->peak.phase];
	if (row->reserved < row->peak)
		row->reserved = row->peak;
}

bool plan_row_has_peak(const struct plan *plan, const struct sweep_row *row)
{
	return row->phase || (plan->traced.scaled && row->reserved >= 0);
}

/* Does a row of the sweep fit a card, with the kernels of that card? */
static enum fit row_fit(const struct plan *plan, const struct training *training,
                        const struct sweep_row *row, const struct card *card)
{
	const struct plan *kind = plan_on(plan, card);
	int64_t available = plan_available(plan, card), need;
	struct training own = *training;
	struct sweep_row there = *row;
	struct walk walk;

	own.silicon = kind->training.silicon;
	if (kind != plan && !plan->traced.scaled) {
		there.phase = NULL;
		there.peak = there.total;
		there.reserved = -1;
		if (kind->walked && walk_training(&plan->model, &own, INT64_MAX, &walk))
			try_walk(kind, &walk, &there);
	}
	need = there.reserved >= 0 ? there.reserved : there.peak;
	if (need >= 0 && need <= available)
		return plan_row_has_peak(plan, &there) ||
		                       plan_sum_is_asked(plan, NULL, 0)
		               ? FIT_YES
		               : FIT_OPEN;
	return there.phase && there.peak <= available && has_room(kind, &own, available)
	               ? FIT_YES
	               : FIT_NO;
}

void plan_try(const struct plan *plan, const struct training *training,
              struct sweep_row *row)
{
	struct formula formula;
	struct walk walk;
	char why[128];
	bool walked =
	        plan->walked && walk_training(&plan->model, training, INT64_MAX, &walk);

	row->total = formula_compute(&plan->model, training, &formula, why, sizeof(why))
	                     ? -1
	                     : formula.total;
	row->peak = row->total;
	row->reserved = -1;
	row->phase = NULL;
	if (walked) {
		try_walk(plan, &walk, row);
	} else if (plan->traced.scaled && training->seq == plan->training.seq) {
		row->peak = scaled_to(&plan->traced, training->batch);
		row->reserved = (int64_t)((double)row->peak * kept(plan));
	}
	row->fits = row->open = 0;
	for (int i = 0; plan->cards_named && i < plan->card_count && i < 64; i++) {
		enum fit fit = row_fit(plan, training, row, &plan->cards[i]);
		row->fits |= (uint64_t)(fit == FIT_YES) << i;
		row->open |= (uint64_t)(fit == FIT_OPEN) << i;
	}
}
