/* stream.c - streams and events on a clock that ticks once per piece of work.
 * Owns: every stream and event object. One lock guards the list of streams and all
 * captures (capture.c too).
 * Called from: core/, cudart/, driver/, libraries/. */
#include "stream_private.h"
#include "config.h"
#include "known.h"
#include "lock.h"
#include "memory.h"
#include "pace.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

static struct tmksim_stream *streams;

static _Atomic unsigned long long clock_now, everything_waited_for;
static _Atomic unsigned long long stream_ids = 2; /* 1 and 2 are the default streams */

/* Streams that are busy by the wall clock. The default streams of all devices share one
 * entry: nobody was seen to spin on two of them. */
static _Atomic uint64_t default_busy;
static _Atomic bool ever_busy;

static _Atomic uint64_t *busy_until(struct tmksim_stream *stream)
{
	return tmksim_default_stream(stream) ? &default_busy : &stream->busy_until;
}

static unsigned long long lag(void)
{
	static _Atomic size_t launches = SIZE_MAX;
	if (launches == SIZE_MAX)
		launches = tmksim_number(TMKSIM_LAG);
	return launches;
}

struct tmksim_stream *tmksim_stream_create(int device, unsigned flags, int priority)
{
	struct tmksim_stream *stream = calloc(1, sizeof(*stream));
	if (!stream)
		return NULL;
	tmksim_touch_device(device);
	stream->device = device;
	stream->flags = flags;
	stream->priority = priority;
	stream->id = ++stream_ids;
	tmksim_lock(TMKSIM_LOCK_STREAM);
	stream->next = streams;
	streams = stream;
	tmksim_unlock(TMKSIM_LOCK_STREAM);
	return stream;
}

int tmksim_stream_destroy(struct tmksim_stream *stream)
{
	if (tmksim_default_stream(stream))
		return TMKSIM_INVALID_HANDLE;
	int error = TMKSIM_INVALID_HANDLE;
	tmksim_lock(TMKSIM_LOCK_STREAM);
	for (struct tmksim_stream **at = &streams; *at; at = &(*at)->next) {
		if (*at != stream)
			continue;
		*at = stream->next;
		error = 0;
		break;
	}
	tmksim_unlock(TMKSIM_LOCK_STREAM);
	if (!error)
		free(stream);
	return error;
}

int tmksim_stream_device(struct tmksim_stream *stream, int current)
{
	return tmksim_default_stream(stream) ? current : stream->device;
}

unsigned tmksim_stream_flags(struct tmksim_stream *stream)
{
	return tmksim_default_stream(stream) ? 0 : stream->flags;
}

int tmksim_stream_priority(struct tmksim_stream *stream)
{
	return tmksim_default_stream(stream) ? 0 : stream->priority;
}

unsigned long long tmksim_stream_id(struct tmksim_stream *stream)
{
	return tmksim_default_stream(stream) ? 1 + ((uintptr_t)stream == 2)
	                                     : stream->id;
}

void tmksim_work(struct tmksim_stream *stream)
{
	tmksim_pace_work();
	tmksim_known_work();
	if (tmksim_capture_add(stream, 1))
		return;
	clock_now++;
	if (!tmksim_default_stream(stream))
		stream->collective = false;
}

void tmksim_work_collective(struct tmksim_stream *stream)
{
	tmksim_work(stream);
	if (!tmksim_default_stream(stream))
		stream->collective = true;
}

static void stream_busy_until(struct tmksim_stream *stream, uint64_t ns)
{
	_Atomic uint64_t *until = busy_until(stream);
	uint64_t before = *until;
	while (before < ns && !atomic_compare_exchange_weak(until, &before, ns))
		;
}

void tmksim_stream_busy(struct tmksim_stream *stream, uint64_t ns)
{
	if (tmksim_capture_status(stream))
		return;
	ever_busy = true;
	uint64_t now = tmksim_now_ns(), before = *busy_until(stream);
	stream_busy_until(stream, (before > now ? before : now) + ns);
}

static bool is_busy(uint64_t until)
{
	return until && until > tmksim_now_ns();
}

int tmksim_stream_query(struct tmksim_stream *stream)
{
	if (tmksim_capture_status(stream)) {
		tmksim_capture_invalidate(stream);
		return TMKSIM_CAPTURE_UNSUPPORTED;
	}
	if (is_busy(*busy_until(stream)))
		return TMKSIM_NOT_READY;
	return lag() && !tmksim_default_stream(stream) &&
	                       stream->last_work > everything_waited_for &&
	                       clock_now - stream->last_work < lag()
	               ? TMKSIM_NOT_READY
	               : 0;
}

static void host_waits(uint64_t until)
{
	if (is_busy(until))
		tmksim_pace_until(until);
	everything_waited_for = clock_now;
	tmksim_pace_wait();
}

int tmksim_stream_wait(struct tmksim_stream *stream)
{
	if (tmksim_capture_status(stream)) {
		tmksim_capture_invalidate(stream);
		return TMKSIM_CAPTURE_UNSUPPORTED;
	}
	host_waits(*busy_until(stream));
	return 0;
}

static uint64_t all_done_at(void)
{
	uint64_t last = default_busy;
	tmksim_lock(TMKSIM_LOCK_STREAM);
	for (struct tmksim_stream *s = streams; s; s = s->next)
		if (s->busy_until > last)
			last = s->busy_until;
	tmksim_unlock(TMKSIM_LOCK_STREAM);
	return last;
}

int tmksim_device_wait(void)
{
	if (tmksim_capture_forbids())
		return TMKSIM_CAPTURE_UNSUPPORTED;
	host_waits(ever_busy ? all_done_at() : 0);
	return 0;
}

struct tmksim_event *tmksim_event_create(unsigned flags)
{
	struct tmksim_event *event = calloc(1, sizeof(*event));
	if (!event)
		return NULL;
	event->timed = !(flags & TMKSIM_EVENT_UNTIMED);
	event->interprocess = flags & TMKSIM_EVENT_INTERPROCESS;
	return event;
}

bool tmksim_event_interprocess(const struct tmksim_event *event)
{
	return event->interprocess;
}

int tmksim_event_destroy(struct tmksim_event *event)
{
	if (!event)
		return TMKSIM_INVALID_HANDLE;
	free(event);
	return 0;
}

int tmksim_event_record(struct tmksim_event *event, struct tmksim_stream *stream)
{
	if (!event)
		return TMKSIM_INVALID_HANDLE;
	event->capture = tmksim_capture_id(stream);
	event->collective = !tmksim_default_stream(stream) && stream->collective;
	event->at = clock_now + 1; /* 0 means never recorded */
	event->done_at = 0;
	if (ever_busy) {
		uint64_t now = tmksim_now_ns(), until = *busy_until(stream);
		event->done_at = until > now ? until : now;
	}
	if (!tmksim_default_stream(stream))
		stream->last_work = clock_now;
	return 0;
}

int tmksim_event_query(struct tmksim_event *event)
{
	if (!event)
		return TMKSIM_INVALID_HANDLE;
	if (tmksim_capture_alive(event->capture))
		return TMKSIM_CAPTURED_EVENT;
	if (is_busy(event->done_at))
		return TMKSIM_NOT_READY;
	if (!event->at || !lag() || event->at <= everything_waited_for + 1 ||
	    clock_now + 1 - event->at >= lag())
		return 0;
	return TMKSIM_NOT_READY;
}

int tmksim_event_wait(struct tmksim_event *event)
{
	if (!event)
		return TMKSIM_INVALID_HANDLE;
	if (tmksim_capture_alive(event->capture))
		return TMKSIM_CAPTURED_EVENT;
	if (is_busy(event->done_at))
		tmksim_pace_until(event->done_at);
	tmksim_pace_wait();
	if (event->at > everything_waited_for + 1)
		everything_waited_for = event->at - 1;
	return 0;
}

int tmksim_event_elapsed(struct tmksim_event *from, struct tmksim_event *to, float *ms)
{
	if (!from || !to || !from->at || !to->at || !from->timed || !to->timed)
		return TMKSIM_INVALID_HANDLE;
	/* a microsecond a launch, and never zero: callers divide by it */
	double ticks = (double)to->at - (double)from->at;
	*ms = (float)(1e-3 * (ticks < 0 ? ticks : ticks + 1));
	if (from->done_at && to->done_at)
		*ms += (float)(1e-6 * ((double)to->done_at - (double)from->done_at));
	return 0;
}

int tmksim_stream_wait_event(struct tmksim_stream *stream, struct tmksim_event *event)
{
	if (!event)
		return TMKSIM_INVALID_HANDLE;
	if (event->collective) {
		event->collective = false;
		tmksim_pace_collective();
	}
	if (event->done_at)
		stream_busy_until(stream, event->done_at);
	/* an uncaptured stream that waits for captured work joins the capture */
	if (!tmksim_default_stream(stream) && !tmksim_capture_id(stream) &&
	    tmksim_capture_alive(event->capture))
		stream->capture = event->capture;
	return 0;
}

void tmksim_graph_launch(const struct tmksim_graph *graph, struct tmksim_stream *stream)
{
	if (!tmksim_capture_add(stream, 1))
		clock_now += tmksim_graph_nodes(graph);
}
