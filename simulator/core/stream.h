/* stream.h - streams and events.
 * Work takes no time: it is a tick of one clock. With TIDEMARK_SIM_LAG an event stays
 * unfinished until so many ticks have passed or somebody waited for it. Work that says how
 * long it lasts (tmksim_stream_busy) takes that long by the clock on the wall.
 * Handles are pointers to these objects. Any thread may call. Errors are CUDA's numbers. */
#ifndef TIDEMARK_SIMULATOR_STREAM_H
#define TIDEMARK_SIMULATOR_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture.h"

struct tmksim_event;

/* A stream on a device; destroying gives it back. NULL and the values 1 and 2 are CUDA's
 * default streams, which each device has. */
struct tmksim_stream *tmksim_stream_create(int device, unsigned flags, int priority);
int tmksim_stream_destroy(struct tmksim_stream *stream);
int tmksim_stream_device(struct tmksim_stream *stream, int current);
unsigned tmksim_stream_flags(struct tmksim_stream *stream);
int tmksim_stream_priority(struct tmksim_stream *stream);
unsigned long long tmksim_stream_id(struct tmksim_stream *stream);

/* One piece of work: a kernel, copy, fill or callback. */
void tmksim_work(struct tmksim_stream *stream);
/* The same for a collective: whoever waits for it lets NCCL's watchdogs see its end. */
void tmksim_work_collective(struct tmksim_stream *stream);
/* The work just added keeps the stream busy for so long: a kernel that spins on purpose. */
void tmksim_stream_busy(struct tmksim_stream *stream, uint64_t ns);
int tmksim_stream_query(struct tmksim_stream *stream);
int tmksim_stream_wait(struct tmksim_stream *stream);
/* The host waits for every stream; fails while the thread's streams are captured. */
int tmksim_device_wait(void);

enum { TMKSIM_EVENT_UNTIMED = 2, TMKSIM_EVENT_INTERPROCESS = 4 };
struct tmksim_event *tmksim_event_create(unsigned flags);
bool tmksim_event_interprocess(const struct tmksim_event *event);
int tmksim_event_destroy(struct tmksim_event *event);
int tmksim_event_record(struct tmksim_event *event, struct tmksim_stream *stream);
int tmksim_event_query(struct tmksim_event *event);
int tmksim_event_wait(struct tmksim_event *event);
int tmksim_event_elapsed(struct tmksim_event *from, struct tmksim_event *to, float *ms);
int tmksim_stream_wait_event(struct tmksim_stream *stream, struct tmksim_event *event);

/* The graph's work on this stream, or its nodes in the graph that the stream is captured in. */
void tmksim_graph_launch(const struct tmksim_graph *graph,
                         struct tmksim_stream *stream);

#endif
