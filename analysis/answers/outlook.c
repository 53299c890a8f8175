/* outlook.c - when what grows from step to step fills the card.
 * Called from: commands/leaks.c, live/leaks.c, live/look.c. */
#include "outlook.h"

#include "answers_queries.h"

int64_t outlook_outside(struct db *db, int64_t device)
{
	return rows_first(db_rows(db, sql_outside, "i", device), -1);
}

struct outlook outlook_of(struct trace *trace, const struct device *device,
                          const struct growth *growth)
{
	struct outlook outlook = {-1, -1};
	struct point point;
	int64_t rate = growth_rate(growth),
	        outside = outlook_outside(trace->db, device->id);

	if (outside < 0 || device->total_bytes <= 0 ||
	    !trace_peak(trace, device->id, growth->to, &point))
		return outlook;
	outlook.left = device->total_bytes - outside - point.allocated;
	if (rate > 0 && outlook.left >= 0)
		outlook.full = growth->to + outlook.left / rate + 1;
	return outlook;
}
