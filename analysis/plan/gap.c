/* gap.c - why there is no peak over time, in one note.
 * Called from: plan.c. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"

enum { REASON = 200 };

static void find_reason(const struct plan *plan, char why[REASON])
{
	const struct traced *traced = &plan->traced;
	const struct training *asked = &plan->training;

	if (plan_sum_is_asked(plan, why, REASON))
		return;
	if (!plan->formula.activations_known) {
		snprintf(why, REASON, "activations are not counted");
		return;
	}
	if (traced->known && (!traced->batch_known || !traced->seq_known)) {
		snprintf(why, REASON, "the trace does not tell batch and sequence");
		return;
	}
	/* what the walk does not know of the trace, it does not of its change */
	if (traced->known && !traced->walked)
		asked = &traced->training;
	if (walk_knows(&plan->model, asked, why, REASON))
		snprintf(why, REASON, "which tensors its parameters are is not known");
}

static bool has_none(const struct plan *plan)
{
	return plan_peak_bytes(plan) < 0;
}

static const char *first_card_of(const struct plan *whole, const struct plan *kind)
{
	for (int i = 0; i < whole->card_count; i++)
		if (plan_on(whole, &whole->cards[i]) == kind)
			return whole->cards[i].name;
	return "other cards";
}

char *plan_gap(const struct plan *plan)
{
	char whole[REASON] = "", why[REASON], *text = NULL, *note = NULL;
	const char *between = "";
	size_t size = 0;
	bool some = false;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		out_of_memory();
	if (has_none(plan)) {
		find_reason(plan, whole);
		for (int i = 0; i < plan->kind_count; i++)
			some |= !has_none(plan->kinds[i]);
		if (some)
			fprintf(out, " on %s", first_card_of(plan, plan));
		fprintf(out, ": %s", whole);
		between = ";";
	}
	for (int i = 0; i < plan->kind_count; i++) {
		if (!has_none(plan->kinds[i]))
			continue;
		find_reason(plan->kinds[i], why);
		if (strcmp(why, whole) != 0)
			fprintf(out, "%s on %s: %s", between,
			        first_card_of(plan, plan->kinds[i]), why);
		between = ";";
	}
	fclose(out);
	if (*text && plan->measure == MEASURE_DOES)
		note = format_text("no peak over time is predicted%s", text);
	else if (*text)
		note = format_text(
		        "no peak over time%s. %s: a step takes memory beside what "
		        "they count%s",
		        text,
		        plan_sum_is_asked(plan, NULL, 0)
		                ? "The answer is by the sum of the buckets"
		                : "A card is ? where the sum of the buckets fits",
		        plan->measure == MEASURE_CAN ? "; --measure runs it" : "");
	free(text);
	return note;
}
