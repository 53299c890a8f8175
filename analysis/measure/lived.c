/* lived.c - what lived on the device in the run that was measured, from its trace.
 * Called from: measure.c. */
#include "lived.h"

#include <string.h>

#include "fail.h"
#include "heap.h"
#include "live.h"
#include "replay.h"

static void add(void *context, const struct alive *alive)
{
	int64_t *buckets = context;

	if (alive->bucket >= 0 && alive->bucket < BUCKETS)
		buckets[alive->bucket] += alive->block.bytes;
}

/* What a formula's activations are compared with: made for a forward or a backward, and not
 * a gradient. */
static bool is_activation(int64_t bucket)
{
	return bucket == BUCKET_ACTIVATION || bucket == BUCKET_INPUT ||
	       bucket == BUCKET_TEMPORARY;
}

static bool computes(int64_t phase)
{
	return phase == PHASE_FORWARD || phase == PHASE_BACKWARD ||
	       phase == PHASE_RECOMPUTE;
}

static int64_t most_activations(struct trace *trace, const struct device *device,
                                const struct step *step)
{
	int64_t buckets[BUCKETS] = {0}, now = 0, most = 0;
	struct replay replay = {.pattern = -1};
	const struct event *events;
	size_t count;

	live_each(trace, device->id, step, -1, add, buckets);
	for (int b = 0; b < BUCKETS; b++)
		if (is_activation(b))
			now += buckets[b];
	events = replay_step(trace, &replay, step, &count);
	for (size_t i = 0; i < count; i++) {
		const struct event *event = &events[i];
		if (event->device < 0 || &trace->devices[event->device] != device ||
		    !is_activation(event->bucket))
			continue;
		now += event->bytes;
		if (computes(event->phase) && now > most)
			most = now;
	}
	replay_free(&replay);
	return most;
}

static const struct device *card_of(const struct trace *trace)
{
	for (size_t i = 0; i < trace->device_count; i++)
		if (strcmp(trace->devices[i].name, "cpu") != 0)
			return &trace->devices[i];
	return NULL;
}

/* The highest of the two steps. What building the model took is no part of a training: a head that is
 * made and then tied is there twice for an instant. */
static bool highest(struct trace *trace, const struct device *device,
                    struct point *peak, int64_t *reserved)
{
	struct point point;
	bool found = false;

	for (int64_t id = 1; id <= 2; id++) {
		if (!trace_peak(trace, device->id, id, &point))
			continue;
		if (!found || point.allocated > peak->allocated)
			*peak = point;
		if (!found || point.reserved_peak > *reserved)
			*reserved = point.reserved_peak;
		found = true;
	}
	return found;
}

void lived_read(const char *path, struct measured *measured)
{
	struct trace *trace = trace_open(path);
	const struct device *device = card_of(trace);
	struct point peak;
	struct step step;

	if (!device || !highest(trace, device, &peak, &measured->reserved))
		fail(STATUS_UNREADABLE, "the training used no device memory");
	step = trace_step(trace, peak.step);
	measured->allocated = peak.allocated;
	measured->step = peak.step;
	measured->phase = copy_text(trace_phase(trace, peak.phase));
	live_each(trace, device->id, &step, peak.ordinal, add, measured->at_peak);
	for (int64_t id = 1; id <= 2; id++) {
		int64_t most;
		step = trace_step(trace, id);
		most = most_activations(trace, device, &step);
		if (most > measured->activation)
			measured->activation = most;
	}
	trace_close(trace);
}
