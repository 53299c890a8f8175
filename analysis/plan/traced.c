/* traced.c - a plan that begins with what a trace measured. What the command line asks to be
 * otherwise is a change to that.
 * Called from: subject.c. */
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "heap.h"
#include "recognise.h"
#include "recorded.h"
#include "replay.h"
#include "subject.h"
#include "text.h"
#include "values.h"

/* Options that say how the training would be otherwise. */
static int changes(const struct options *options)
{
	int count = options->value[OPT_OVERHEAD] != NULL;

	for (int id = OPT_BATCH; id <= OPT_INFERENCE; id++)
		count += options->value[id] != NULL;
	return count;
}

/* Is a block of the size that one of the weights has, or a gradient of it? */
static bool like_a_weight(const struct model *model, int64_t bytes)
{
	enum { GRAIN = 512 };

	for (size_t i = 0; i < model->count; i++) {
		int64_t elements = weight_size(&model->weights[i]);
		for (int64_t width = 2; width <= 4; width += 2)
			if ((elements * width + GRAIN - 1) / GRAIN * GRAIN == bytes)
				return true;
	}
	return false;
}

/* What another batch makes of a block: what comes from the data and what a forward and a backward
 * make of it follow the batch. A backward's temporaries that are as large as a weight are taken for
 * its gradients, which do not. */
static bool follows(const struct model *model, const struct event *event)
{
	switch (event->bucket) {
	case BUCKET_ACTIVATION:
	case BUCKET_INPUT:
		return true;
	case BUCKET_TEMPORARY:
		return event->phase != PHASE_OPTIMIZER && event->phase != PHASE_CLIP &&
		       (event->phase != PHASE_BACKWARD ||
		        !like_a_weight(model, llabs(event->bytes)));
	default:
		return false;
	}
}

/* A step gone through once more, with other batches. */
struct once_more {
	const struct event *events;
	size_t count;
	bool *follows; /* each event */
	int32_t device;
	int64_t start; /* bytes when it began */
};

/* Bytes at the peak, with a batch so many times the traced one. */
static int64_t scaled_peak(const struct once_more *step, double ratio)
{
	int64_t now = step->start, most = now;

	for (size_t i = 0; i < step->count; i++) {
		if (step->events[i].device != step->device)
			continue;
		now += step->follows[i]
		               ? (int64_t)((double)step->events[i].bytes * ratio)
		               : step->events[i].bytes;
		most = now > most ? now : most;
	}
	return most;
}

static void read_peak(struct traced *traced, struct trace *trace,
                      const struct device *device, const struct point *point)
{
	traced->known = true;
	traced->peak = point->allocated;
	traced->reserved = point->reserved_peak;
	traced->step = point->step;
	snprintf(traced->phase, sizeof(traced->phase), "%s",
	         trace_phase(trace, point->phase));
	snprintf(traced->device, sizeof(traced->device), "%s", device->name);
	traced->silicon = card_silicon(device->product);
}

/* Where the batch alone is asked to be another, or nothing is, the step itself can be gone through
 * with others. */
static void rescale(struct plan *plan, const struct options *options,
                    struct trace *trace, const struct device *device)
{
	struct traced *traced = &plan->traced;
	struct replay replay = {.pattern = -1};
	struct step peak = trace_step(trace, traced->step);
	struct once_more step = {.device = (int32_t)(device - trace->devices)};
	int64_t from = traced->training.batch, batch = from;
	bool other = plan_count(options, OPT_BATCH, &batch);

	if (changes(options) != other || !traced->batch_known || from < 1)
		return;
	step.start = replay_start(trace, traced->step, device->id);
	step.events = replay_step(trace, &replay, &peak, &step.count);
	step.follows = allocate(step.count + 1);
	for (size_t i = 0; i < step.count; i++)
		step.follows[i] = follows(&plan->model, &step.events[i]);
	traced->scaled = scaled_peak(&step, (double)batch / (double)from);
	for (int i = 0; i < PLAN_LINE; i++)
		traced->line[i] =
		        scaled_peak(&step, (double)((int64_t)1 << i) / (double)from);
	free(step.follows);
	replay_free(&replay);
}

static void say_what_was_read(struct plan *plan, const struct recognised *recognised)
{
	const struct training *t = &recognised->training;

	if (*recognised->shapeless)
		plan_note(plan, "the shape of the model is not known: %s",
		          recognised->shapeless);
	if (!recognised->batch_known)
		plan_note(plan, "the trace does not say how large the batch is");
	else if (recognised->seq_known)
		plan_note(plan, "as traced: batch %s, sequence %s, by %s",
		          text_count(t->batch).s, text_count(t->seq).s,
		          recognised->batch_from);
	else
		plan_note(plan, "as traced: batch %s, by %s", text_count(t->batch).s,
		          recognised->batch_from);
}

/* Names and dtypes alone: no step of it has a peak. */
static void from_names(struct plan *plan, struct trace *trace)
{
	char shapeless[512], why[512];

	if (trace_model(trace, NULL, &plan->model, &plan->training, shapeless,
	                sizeof(shapeless), why, sizeof(why)))
		fail(STATUS_USAGE, "%s", why);
	if (*shapeless)
		plan_note(plan, "the shape of the model is not known: %s", shapeless);
}

/* Of shards, the model that they are of, where its shape is known. */
static void take_model(struct plan *plan, struct recognised *recognised)
{
	struct model whole;
	struct training training;

	if (recognised->sharded && recognised_whole(recognised, &whole, &training)) {
		memcpy(whole.name, recognised->model.name, sizeof(whole.name));
		recognised_free(recognised);
		plan->model = whole;
		plan->training = training;
		return;
	}
	plan->model = recognised->model; /* and with it its weights */
	plan->training = recognised->training;
}

static void from_step(struct plan *plan, const struct options *options,
                      struct trace *trace, const struct device *device,
                      const struct point *point)
{
	struct traced *traced = &plan->traced;
	struct recognised recognised;
	char why[512];

	if (recognise(trace, device, point, NULL, &recognised, why, sizeof(why)))
		fail(STATUS_USAGE, "%s", why);
	if (recognised.from_blocks)
		fail(STATUS_USAGE,
		     "'%s' names no parameters: Python told none; give '--model' or "
		     "'--params'",
		     trace->name);
	take_model(plan, &recognised);
	traced->training = plan->training;
	traced->batch_known = recognised.batch_known;
	traced->seq_known = recognised.seq_known;
	traced->changed = changes(options) > 0;
	read_peak(traced, trace, device, point);
	say_what_was_read(plan, &recognised);
	rescale(plan, options, trace, device);
}

void plan_from_trace(struct plan *plan, const struct options *options)
{
	struct trace *trace = trace_open(options->value[OPT_TRACE]);
	size_t count;
	struct device *devices = trace_devices(trace, NULL, &count);
	struct point point;
	const struct device *device = trace_highest(trace, devices, count, -1, &point);

	if (device)
		from_step(plan, options, trace, device, &point);
	else
		from_names(plan, trace);
	if (plan->model.quantised)
		fail(STATUS_USAGE,
		     "'%s' has quantised parameters; give its config with '--config' "
		     "and '--param-dtype nf4'",
		     trace->name);
	plan->precision = NULL; /* the dtypes say it */
	trace_close(trace);
}
