/* asked.c - is the sum of the buckets what the options ask for?
 * Called from: gap.c, peak.c. */
#include "plan.h"

#include <stdio.h>

bool plan_sum_is_asked(const struct plan *plan, char *why, size_t size)
{
	const struct training *t = &plan->training;

	if (t->activations != ACTIVATIONS_TORCH)
		snprintf(why, size, "'--activation-formula %s' is one of sums",
		         activations_names[t->activations]);
	else if (t->overhead_ppm != 1000000)
		snprintf(why, size, "'--overhead' multiplies a sum");
	else if (t->inference)
		snprintf(why, size, "inference is not gone through");
	else if (t->sample_bytes >= 0)
		snprintf(why, size,
		         "activations whose size is given have no order in time");
	else
		return false;
	return true;
}
