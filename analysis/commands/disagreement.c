/* disagreement.c - whether a run's peak is what the formula expects, for `report`.
 * Called from: findings.c. */
#include "disagreement.h"

#include <stdlib.h>

#include "heap.h"
#include "reconcile.h"
#include "text.h"

static bool judge(struct trace *trace, const struct device *chief,
                  const struct recognised *recognised, struct disagreement *found)
{
	struct reconciled result;
	int64_t away;
	bool disagrees;

	if (!reconcile(trace, chief, -1, recognised, &result))
		return false;
	disagrees = result.verdict.kind == VERDICT_DISAGREES;
	away = result.verdict.predicted - result.point.allocated;
	if (disagrees)
		*found = (struct disagreement){
		        .device = chief,
		        .step = result.point.step,
		        .bytes = llabs(away),
		        .text = format_text(
		                "the formula expects a peak of %s, %s %s what was "
		                "measured",
		                text_size(result.verdict.predicted).s,
		                text_percent(llabs(away), result.point.allocated).s,
		                away < 0 ? "below" : "above")};
	reconciled_free(&result);
	return disagrees;
}

bool disagreement_find(struct trace *trace, const struct device *devices, size_t count,
                       struct disagreement *found)
{
	struct recognised recognised;
	struct formula formula;
	struct point point;
	char why[512];
	bool disagrees;
	const struct device *chief = trace_highest(trace, devices, count, -1, &point);

	if (!chief ||
	    recognise(trace, chief, &point, NULL, &recognised, why, sizeof(why)))
		return false;
	disagrees = !formula_compute(&recognised.model, &recognised.training, &formula,
	                             why, sizeof(why)) &&
	            judge(trace, chief, &recognised, found);
	recognised_free(&recognised);
	return disagrees;
}
