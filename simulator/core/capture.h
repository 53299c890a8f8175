/* capture.h - captures, which turn the work of streams into graphs, and graphs.
 * Knows of a stream only which capture it takes part in. Any thread may call. Errors are
 * CUDA's numbers. */
#ifndef TIDEMARK_SIMULATOR_CAPTURE_H
#define TIDEMARK_SIMULATOR_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>

struct tmksim_stream;
struct tmksim_graph;

enum {
	TMKSIM_INVALID_HANDLE = 400,
	TMKSIM_ILLEGAL_STATE = 401,
	TMKSIM_NOT_READY = 600,
	TMKSIM_CAPTURE_UNSUPPORTED = 900,
	TMKSIM_CAPTURE_INVALIDATED = 901,
	TMKSIM_CAPTURED_EVENT = 907,
};

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

#endif
