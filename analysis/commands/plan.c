/* plan.c - `tidemark plan`: what training a model would take, by formula: nothing is run.
 * Called from: main.c. */
#include "plan.h"

#include <string.h>

#include "command.h"
#include "screen.h"

int cmd_plan(const struct options *options)
{
	struct plan plan;
	const char *gpu = options->value[OPT_GPU];
	FILE *out;

	if (gpu && !strcmp(gpu, "list")) {
		out = screen_open();
		cards_print(out);
		return screen_close(out);
	}
	plan_read(&plan, options);
	plan_compute(&plan);
	out = screen_open();
	if (options->value[OPT_JSON])
		plan_json(&plan, out);
	else
		plan_print(&plan, options->value[OPT_EXPLAIN] != NULL, out);
	plan_free(&plan);
	return screen_close(out);
}
