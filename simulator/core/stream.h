/* stream.h - streams, events, and the captures that turn work into graphs.
 * Work takes no time: it is a tick of one clock. With TIDEMARK_SIM_LAG an event stays
 * unfinished until so many ticks have passed or somebody waited for it. Work that says how
 * long it lasts (tmksim_stream_busy) takes that long by the clock on the wall.
 * Handles are pointers to these objects. Any thread may call. Errors are CUDA's numbers. */
#ifndef TMKSIM_STREAM_H
#define TMKSIM_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tmksim_stream;
struct tmksim_event;
struct tmksim_graph;

enum {
	TMKSIM_INVALID_HANDLE = 400,
	TMKSIM_ILLEGAL_STATE = 401,
	TMKSIM_NOT_READY = 600,
	TMKSIM_CAPTURE_UNSUPPORTED = 900,
	TMKSIM_CAPTURE_INVALIDATED = 901,
	TMKSIM_CAPTURED_EVENT = 907,
};

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

/* Capture. The graph belongs to the caller once the capture has ended. */
int tmksim_capture_begin(struct tmksim_stream *stream, struct tmksim_graph *into,
                         int mode);
int tmksim_capture_end(struct tmksim_stream *stream, struct tmksim_graph **graph);
/* 0 none, 1 active, 2 invalidated. */
int tmksim_capture_status(struct tmksim_stream *stream);
unsigned long long tmksim_capture_id(struct tmksim_stream *stream);
struct tmksim_graph *tmksim_capture_graph(struct tmksim_stream *stream);
/* All that cudaStreamGetCaptureInfo and its driver twin tell; NULL for what is not asked. */
void tmksim_capture_info(struct tmksim_stream *stream, int *status,
                         unsigned long long *id, struct tmksim_graph **graph,
                         const void ***dependencies, size_t *count);
/* True while a capture in global mode forbids unsafe calls such as cudaMalloc to this
 * thread; such a call invalidates the capture. */
int tmksim_capture_forbids(void);
/* Swaps the thread's capture mode. */
void tmksim_capture_exchange_mode(int *mode);

/* Graphs: how much work they hold, and the user objects they keep alive. */
struct tmksim_graph *tmksim_graph_create(void);
struct tmksim_graph *tmksim_graph_clone(const struct tmksim_graph *graph);
void tmksim_graph_destroy(struct tmksim_graph *graph);
size_t tmksim_graph_nodes(const struct tmksim_graph *graph);
size_t tmksim_graph_add(struct tmksim_graph *graph, size_t nodes);
void tmksim_graph_launch(const struct tmksim_graph *graph,
                         struct tmksim_stream *stream);

#endif
