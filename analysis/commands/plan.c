/* plan.c - `tidemark plan`: what training a model would take, by formula: nothing is run, unless
 * --measure asks for two steps on a simulated card.
 * Called from: main.c. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "fail.h"
#include "measure.h"
#include "screen.h"
#include "trainer.h"

int cmd_plan(const struct options *options)
{
	struct plan plan;
	const char *gpu = options->value[OPT_GPU];
	char *refusal;
	FILE *out;

	if (gpu && !strcmp(gpu, "list")) {
		out = screen_open();
		cards_print(out);
		return screen_close(out);
	}
	plan_read(&plan, options);
	refusal = trainer_refusal(&plan, options);
	if (refusal && options->value[OPT_MEASURE])
		fail(STATUS_USAGE, "%s", refusal);
	plan.measure = refusal                       ? MEASURE_NEVER
	               : options->value[OPT_MEASURE] ? MEASURE_DOES
	                                             : MEASURE_CAN;
	free(refusal);
	plan_compute(&plan);
	if (options->value[OPT_MEASURE] && !options->value[OPT_PRINT_SCRIPT])
		measure_plan(&plan, options);
	out = screen_open();
	if (options->value[OPT_PRINT_SCRIPT])
		trainer_print(&plan, options, out);
	else if (options->value[OPT_JSON])
		plan_json(&plan, out);
	else
		plan_print(&plan, options->value[OPT_EXPLAIN] != NULL, out);
	plan_free(&plan);
	return screen_close(out);
}
