/* reconcile.c - one device's peak against the formula.
 * Called from: commands/disagreement.c, commands/reconcile.c. */
#include "reconcile.h"

#include <stdlib.h>

#include "fail.h"

bool reconcile(struct trace *trace, const struct device *device, int64_t step,
               const struct recognised *recognised, struct reconciled *r)
{
	char why[256];

	*r = (struct reconciled){
	        .trace = trace, .device = device, .recognised = recognised};
	if (!trace_peak(trace, device->id, step, &r->point))
		return false;
	r->step = trace_step(trace, r->point.step);
	r->sample = trace_sample(trace, device->id, &r->point);
	if (r->sample.reserved < 0)
		r->sample.reserved = r->point.reserved_peak;
	if (formula_compute(&recognised->model, &recognised->training, &r->formula, why,
	                    sizeof(why)))
		fail(STATUS_USAGE, "%s", why);
	places_load(trace, device->name, &r->places);
	reconcile_segments(r);
	reconcile_measure(r);
	reconcile_absent(r);
	reconcile_around(r);
	reconcile_expect(r);
	reconcile_saved(r);
	reconcile_match(r);
	reconcile_judge(r);
	return true;
}

static void free_items(struct items *items)
{
	for (size_t i = 0; i < items->count; i++)
		free(items->items[i].label);
	free(items->items);
}

void reconciled_free(struct reconciled *r)
{
	for (int i = 0; i < ROW_COUNT; i++) {
		for (size_t k = 0; k < r->rows[i].count; k++)
			free(r->rows[i].causes[k].text);
		free(r->rows[i].causes);
	}
	free_items(&r->measured);
	free_items(&r->expected);
	free_items(&r->freed);
	free_items(&r->later);
	for (int i = 0; i < r->verdict.count; i++)
		free(r->verdict.causes[i].text);
	free(r->segments);
	places_free(&r->places);
}
