/* perfetto.c - a trace as track events, for ui.perfetto.dev and trace_processor.
 *
 * Source of the format: protos/perfetto/trace/perfetto_trace.proto. A device is a track with a
 * counter for allocated bytes, one for reserved bytes and one for each bucket; steps and phases are
 * slices on tracks of the process; a refusal is an instant on its device. Times are ns since the
 * run began.
 * Called from: formats.c. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "export.h"
#include "heap.h"
#include "protobuf.h"

enum { /* fields of the messages that are written */
       TRACE_PACKET = 1,
       PACKET_TIMESTAMP = 8,
       PACKET_SEQUENCE = 10,
       PACKET_EVENT = 11,
       PACKET_FLAGS = 13,
       PACKET_TRACK = 60,
       TRACK_UUID = 1,
       TRACK_NAME = 2,
       TRACK_PROCESS = 3,
       TRACK_PARENT = 5,
       TRACK_COUNTER = 8,
       PROCESS_PID = 1,
       PROCESS_NAME = 6,
       COUNTER_UNIT = 3,
       UNIT_BYTES = 3,
       EVENT_TYPE = 9,
       EVENT_TRACK = 11,
       EVENT_CATEGORY = 22,
       EVENT_NAME = 23,
       EVENT_COUNTER = 30,
       EVENT_ANNOTATION = 4,
       ANNOTATION_NUMBER = 4,
       ANNOTATION_NAME = 10,
};

enum kind { BEGIN = 1, END = 2, INSTANT = 3, COUNTER = 4 };

/* Tracks by number: the process, steps, phases; then of each device itself and its counters. */
enum { PROCESS = 1, STEPS, PHASES_TRACK, DEVICES, COUNTERS = BUCKETS + 3 };

struct perfetto {
	struct export *export;
	struct message packet, event, inner;
	int64_t (*buckets)[BUCKETS]; /* of each device */
	int64_t phase, step;         /* open; -1: none */
	int64_t latest_ns, step_end_ns;
};

static int64_t track_of(int32_t device, int counter)
{
	return DEVICES + (int64_t)device * COUNTERS + counter;
}

enum { ALLOCATED = 1, RESERVED, FIRST_BUCKET };

static void send(struct perfetto *perfetto)
{
	message_number(&perfetto->packet, PACKET_SEQUENCE, 1);
	message_send(&perfetto->packet, TRACE_PACKET, perfetto->export->out);
}

static void describe(struct perfetto *perfetto, int64_t track, int64_t parent,
                     const char *name, bool counter)
{
	struct message *event = &perfetto->event;

	message_empty(event);
	message_number(event, TRACK_UUID, track);
	if (parent)
		message_number(event, TRACK_PARENT, parent);
	message_text(event, TRACK_NAME, name);
	if (counter) {
		message_empty(&perfetto->inner);
		message_number(&perfetto->inner, COUNTER_UNIT, UNIT_BYTES);
		message_inside(event, TRACK_COUNTER, &perfetto->inner);
	}
	message_inside(&perfetto->packet, PACKET_TRACK, event);
	send(perfetto);
}

/* The head of an event, in perfetto->event. */
static void begin_event(struct perfetto *perfetto, enum kind kind, int64_t track)
{
	message_empty(&perfetto->event);
	message_number(&perfetto->event, EVENT_TYPE, kind);
	message_number(&perfetto->event, EVENT_TRACK, track);
}

static void send_event(struct perfetto *perfetto, int64_t time_ns)
{
	message_number(&perfetto->packet, PACKET_TIMESTAMP, time_ns > 0 ? time_ns : 0);
	message_inside(&perfetto->packet, PACKET_EVENT, &perfetto->event);
	send(perfetto);
	perfetto->export->events++;
}

static void count(struct perfetto *perfetto, int64_t track, int64_t time_ns,
                  int64_t bytes)
{
	begin_event(perfetto, COUNTER, track);
	message_number(&perfetto->event, EVENT_COUNTER, bytes);
	send_event(perfetto, time_ns);
}

static void slice(struct perfetto *perfetto, enum kind kind, int64_t track,
                  int64_t time_ns, const char *category, const char *name)
{
	begin_event(perfetto, kind, track);
	if (kind != END) {
		message_text(&perfetto->event, EVENT_CATEGORY, category);
		message_text(&perfetto->event, EVENT_NAME, name);
	}
	send_event(perfetto, time_ns);
}

static void annotate(struct perfetto *perfetto, const char *name, int64_t number)
{
	message_empty(&perfetto->inner);
	message_text(&perfetto->inner, ANNOTATION_NAME, name);
	message_number(&perfetto->inner, ANNOTATION_NUMBER, number);
	message_inside(&perfetto->event, EVENT_ANNOTATION, &perfetto->inner);
}

static void refused(struct perfetto *perfetto, const struct act *act)
{
	begin_event(perfetto, INSTANT, track_of(act->device, 0));
	message_text(&perfetto->event, EVENT_CATEGORY, "oom");
	message_text(&perfetto->event, EVENT_NAME, "out of memory");
	annotate(perfetto, "requested_bytes", act->bytes);
	annotate(perfetto, "allocated_bytes", act->allocated);
	annotate(perfetto, "reserved_bytes", act->reserved);
	if (act->device_free >= 0)
		annotate(perfetto, "device_free_bytes", act->device_free);
	send_event(perfetto, act->time_ns);
}

static void end_phase(struct perfetto *perfetto, int64_t time_ns)
{
	if (perfetto->phase >= 0)
		slice(perfetto, END, PHASES_TRACK, time_ns, NULL, NULL);
	perfetto->phase = -1;
}

static void end_step(struct perfetto *perfetto)
{
	end_phase(perfetto, perfetto->step_end_ns);
	if (perfetto->step >= 0)
		slice(perfetto, END, STEPS, perfetto->step_end_ns, NULL, NULL);
	perfetto->step = -1;
}

static void outline(void *context, const struct act *act)
{
	struct perfetto *perfetto = context;
	const char *phase = trace_phase(perfetto->export->trace, act->phase);
	char *name;

	if (act->kind == ACT_PHASE) {
		end_phase(perfetto, act->time_ns);
		slice(perfetto, BEGIN, PHASES_TRACK, act->time_ns, "phase", phase);
		perfetto->phase = act->phase;
		return;
	}
	end_step(perfetto);
	name = format_text("step %" PRId64, act->step);
	slice(perfetto, BEGIN, STEPS, act->time_ns, "step", name);
	perfetto->step = act->step;
	perfetto->step_end_ns = act->end_ns;
	free(name);
}

static void visit(void *context, const struct act *act)
{
	struct perfetto *perfetto = context;
	bool block = act->kind == ACT_TAKEN || act->kind == ACT_GIVEN;

	if (!export_wants(perfetto->export, act->device))
		return;
	if (act->kind == ACT_REFUSED)
		refused(perfetto, act);
	if (act->kind == ACT_SEGMENT_TAKEN || act->kind == ACT_SEGMENT_GIVEN)
		count(perfetto, track_of(act->device, RESERVED), act->time_ns,
		      act->reserved);
	if (!block)
		return;
	count(perfetto, track_of(act->device, ALLOCATED), act->time_ns, act->allocated);
	if (act->bucket >= 0 && act->bucket < BUCKETS) {
		int64_t *bucket = &perfetto->buckets[act->device][act->bucket];
		*bucket += act->kind == ACT_TAKEN ? act->bytes : -act->bytes;
		count(perfetto, track_of(act->device, FIRST_BUCKET + (int)act->bucket),
		      act->time_ns, *bucket);
	}
}

static void describe_process(struct perfetto *perfetto)
{
	struct trace *trace = perfetto->export->trace;
	char *command =
	        rows_first_text(db_rows(trace->db, "SELECT command FROM run", ""));
	struct message *event = &perfetto->event;

	message_empty(event);
	message_number(event, TRACK_UUID, PROCESS);
	message_empty(&perfetto->inner);
	message_number(&perfetto->inner, PROCESS_PID,
	               db_number(trace->db, 1, "SELECT pid FROM run") & INT32_MAX);
	message_text(&perfetto->inner, PROCESS_NAME, command ? command : trace->name);
	message_inside(event, TRACK_PROCESS, &perfetto->inner);
	message_inside(&perfetto->packet, PACKET_TRACK, event);
	message_number(&perfetto->packet, PACKET_FLAGS, 1); /* the sequence begins */
	send(perfetto);
	describe(perfetto, STEPS, PROCESS, "steps", false);
	describe(perfetto, PHASES_TRACK, PROCESS, "phases", false);
	free(command);
}

static void describe_device(struct perfetto *perfetto, int32_t device)
{
	struct trace *trace = perfetto->export->trace;
	const char *name = trace->devices[device].name;
	char *text;

	describe(perfetto, track_of(device, 0), PROCESS, name, false);
	text = format_text("%s allocated", name);
	describe(perfetto, track_of(device, ALLOCATED), track_of(device, 0), text,
	         true);
	free(text);
	text = format_text("%s reserved", name);
	describe(perfetto, track_of(device, RESERVED), track_of(device, 0), text, true);
	free(text);
	for (int b = 0; b < BUCKETS; b++) {
		if (!trace->buckets[b] || b == BUCKET_CACHE || b == BUCKET_CONTEXT)
			continue;
		text = format_text("%s %s", name, trace->buckets[b]);
		describe(perfetto, track_of(device, FIRST_BUCKET + b),
		         track_of(device, 0), text, true);
		free(text);
	}
}

void export_perfetto(struct export *export)
{
	struct perfetto perfetto = {.export = export, .phase = -1, .step = -1};
	struct flow *flow = flow_new(export->trace, export->from, export->to);

	perfetto.buckets =
	        allocate((export->trace->device_count + 1) * sizeof(*perfetto.buckets));
	describe_process(&perfetto);
	for (size_t d = 0; d < export->trace->device_count; d++)
		if (export_wants(export, (int32_t)d))
			describe_device(&perfetto, (int32_t)d);
	flow_outline(flow, outline, &perfetto);
	end_step(&perfetto);
	flow_free(flow);
	flow = flow_new(export->trace, export->from, export->to);
	flow_run(flow, visit, &perfetto);
	export->doubts = flow_doubts(flow);
	for (size_t d = 0; d < export->trace->device_count; d++)
		if (export_wants(export, (int32_t)d))
			export_unseen(export, flow, d);
	flow_free(flow);
	message_free(&perfetto.packet);
	message_free(&perfetto.event);
	message_free(&perfetto.inner);
	free(perfetto.buckets);
}
