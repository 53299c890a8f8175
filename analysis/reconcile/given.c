/* given.c - what options say of the training, over what was recognised.
 * Called from: commands/reconcile.c. */
#include "reconcile.h"

#include <stdio.h>

#include "fail.h"
#include "values.h"

/* The shape of --model; false without it. */
static bool named_shape(const struct options *options, struct shape *shape)
{
	char nearest[160];

	if (!options->value[OPT_MODEL])
		return false;
	if (!model_find(options->value[OPT_MODEL], shape, nearest, sizeof(nearest)))
		fail(STATUS_USAGE,
		     *nearest ? "there is no model '%s'; the nearest are %s"
		              : "there is no model '%s'%s",
		     options->value[OPT_MODEL], nearest);
	return true;
}

static void override(struct recognised *recognised, const struct options *options)
{
	struct training *t = &recognised->training;
	int optimizer =
	        plan_choice(options, OPT_OPTIMIZER, optimizer_names, OPTIMIZER_COUNT);
	int checkpoint = plan_choice(options, OPT_CHECKPOINT, checkpoint_names,
	                             CHECKPOINT_COUNT);
	int attention =
	        plan_choice(options, OPT_ATTENTION, attention_names, ATTENTION_COUNT);

	if (optimizer >= 0) {
		t->optimizer = (enum optimizer)optimizer;
		recognised->by_states = false;
	}
	if (checkpoint >= 0)
		t->checkpoint = (enum checkpoint)checkpoint;
	if (attention >= 0)
		t->attention = (enum attention)attention;
	if (plan_count(options, OPT_BATCH, &t->batch))
		snprintf(recognised->batch_from, sizeof(recognised->batch_from),
		         "--batch");
	recognised->batch_known |= options->value[OPT_BATCH] != NULL;
	recognised->seq_known |= plan_count(options, OPT_SEQ, &t->seq);
}

void reconcile_recognise(struct trace *trace, const struct options *options,
                         const struct device *device, const struct point *point,
                         struct recognised *recognised)
{
	struct shape shape;
	char source[64], why[512];
	struct given_shape given = {&shape, source};
	bool named = named_shape(options, &shape);

	if (named)
		snprintf(source, sizeof(source), "--model %.40s",
		         options->value[OPT_MODEL]);
	if (recognise(trace, device, point, named ? &given : NULL, recognised, why,
	              sizeof(why)))
		fail(STATUS_USAGE, "%s", why);
	override(recognised, options);
}
