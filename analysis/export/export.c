/* export.c - what every format asks of an export.
 * Called from: commands/export.c, memory_viz.c, perfetto.c. */
#include "export.h"

#include <string.h>

#include "heap.h"

bool export_wants(const struct export *export, int32_t device)
{
	return device >= 0 && &export->trace->devices[device] >= export->devices &&
	       &export->trace->devices[device] < export->devices + export->device_count;
}

char *export_default(const struct trace *trace, const char *suffix)
{
	size_t length = strlen(trace->name);

	if (length > 3 && !strcmp(trace->name + length - 3, ".db"))
		length -= 3;
	return format_text("%.*s%s", (int)length, trace->name, suffix);
}

void export_unseen(struct export *export, const struct flow *flow, size_t device)
{
	struct point point;

	if (trace_peak(export->trace, export->trace->devices[device].id, export->step,
	               &point))
		export->unseen += point.allocated - flow_peak(flow, device);
}
