/* capture.c - CUDA-graph capture: streams join by waiting for an event of a captured
 * stream and leave when the capture ends. A graph is the number of its nodes; their
 * order and arguments mean nothing where kernels do nothing.
 * Called from: core/, cudart/, driver/. */
#include "stream_private.h"
#include "lock.h"

#include <pthread.h>
#include <stdlib.h>

enum { CAPTURES = 64, GLOBAL = 0, RELAXED = 2 };

struct tmksim_graph {
	size_t nodes;
};

static struct {
	unsigned long long id; /* 0: slot is free */
	struct tmksim_graph *graph;
	struct tmksim_stream *origin;
	pthread_t thread;
	int mode;
	bool invalid;
} captures[CAPTURES];
static unsigned long long ids;
static _Atomic int alive; /* captures: keeps the usual path free of the mutex */
static _Thread_local int thread_mode = GLOBAL;

/* The slot of a capture, -1 if it has ended; caller holds the lock. */
static int slot_of(unsigned long long id)
{
	for (int i = 0; id && i < CAPTURES; i++)
		if (captures[i].id == id)
			return i;
	return -1;
}

static int slot_of_stream(struct tmksim_stream *stream)
{
	return tmksim_default_stream(stream) ? -1 : slot_of(stream->capture);
}

bool tmksim_capture_alive(unsigned long long id)
{
	if (!id || !alive)
		return false;
	tmksim_lock(TMKSIM_LOCK_STREAM);
	bool found = slot_of(id) >= 0;
	tmksim_unlock(TMKSIM_LOCK_STREAM);
	return found;
}

unsigned long long tmksim_capture_id(struct tmksim_stream *stream)
{
	unsigned long long id = tmksim_default_stream(stream) ? 0 : stream->capture;
	return tmksim_capture_alive(id) ? id : 0;
}

bool tmksim_capture_add(struct tmksim_stream *stream, size_t nodes)
{
	if (!alive)
		return false;
	tmksim_lock(TMKSIM_LOCK_STREAM);
	int slot = slot_of_stream(stream);
	if (slot >= 0)
		captures[slot].graph->nodes += nodes;
	tmksim_unlock(TMKSIM_LOCK_STREAM);
	return slot >= 0;
}

void tmksim_capture_invalidate(struct tmksim_stream *stream)
{
	tmksim_lock(TMKSIM_LOCK_STREAM);
	int slot = slot_of_stream(stream);
	if (slot >= 0)
		captures[slot].invalid = true;
	tmksim_unlock(TMKSIM_LOCK_STREAM);
}

int tmksim_capture_status(struct tmksim_stream *stream)
{
	if (!alive)
		return 0;
	tmksim_lock(TMKSIM_LOCK_STREAM);
	int slot = slot_of_stream(stream),
	    status = slot < 0 ? 0 : 1 + captures[slot].invalid;
	tmksim_unlock(TMKSIM_LOCK_STREAM);
	return status;
}

struct tmksim_graph *tmksim_capture_graph(struct tmksim_stream *stream)
{
	tmksim_lock(TMKSIM_LOCK_STREAM);
	int slot = slot_of_stream(stream);
	struct tmksim_graph *graph = slot < 0 ? NULL : captures[slot].graph;
	tmksim_unlock(TMKSIM_LOCK_STREAM);
	return graph;
}

void tmksim_capture_info(struct tmksim_stream *stream, int *status,
                         unsigned long long *id, struct tmksim_graph **graph,
                         const void ***dependencies, size_t *count)
{
	static const void *none[1];
	*status = tmksim_capture_status(stream);
	if (id)
		*id = tmksim_capture_id(stream);
	if (graph)
		*graph = tmksim_capture_graph(stream);
	if (dependencies)
		*dependencies = none;
	if (count)
		*count = 0;
}

int tmksim_capture_begin(struct tmksim_stream *stream, struct tmksim_graph *into,
                         int mode)
{
	if (tmksim_default_stream(stream))
		return TMKSIM_CAPTURE_UNSUPPORTED;
	int error = TMKSIM_ILLEGAL_STATE;
	tmksim_lock(TMKSIM_LOCK_STREAM);
	for (int i = 0; i < CAPTURES && slot_of(stream->capture) < 0; i++) {
		if (captures[i].id)
			continue;
		captures[i].graph = into ? into : tmksim_graph_create();
		captures[i].origin = stream;
		captures[i].thread = pthread_self();
		captures[i].mode = mode;
		captures[i].invalid = false;
		stream->capture = captures[i].id = ++ids;
		alive++;
		error = 0;
	}
	tmksim_unlock(TMKSIM_LOCK_STREAM);
	return error;
}

int tmksim_capture_end(struct tmksim_stream *stream, struct tmksim_graph **graph)
{
	*graph = NULL;
	tmksim_lock(TMKSIM_LOCK_STREAM);
	int slot = slot_of_stream(stream), error = TMKSIM_ILLEGAL_STATE;
	if (slot >= 0 && captures[slot].origin == stream) {
		error = captures[slot].invalid ? TMKSIM_CAPTURE_INVALIDATED : 0;
		if (error)
			tmksim_graph_destroy(captures[slot].graph);
		else
			*graph = captures[slot].graph;
		captures[slot].id =
		        0; /* never used again: its streams are in none now */
		alive--;
	}
	tmksim_unlock(TMKSIM_LOCK_STREAM);
	return error;
}

int tmksim_capture_forbids(void)
{
	if (!alive || thread_mode == RELAXED)
		return 0;
	int forbidden = 0;
	tmksim_lock(TMKSIM_LOCK_STREAM);
	for (int i = 0; i < CAPTURES; i++) {
		if (!captures[i].id || captures[i].mode == RELAXED)
			continue;
		bool ours = pthread_equal(captures[i].thread, pthread_self());
		if (ours || (captures[i].mode == GLOBAL && thread_mode == GLOBAL)) {
			captures[i].invalid = true;
			forbidden = 1;
		}
	}
	tmksim_unlock(TMKSIM_LOCK_STREAM);
	return forbidden;
}

void tmksim_capture_exchange_mode(int *mode)
{
	int old = thread_mode;
	thread_mode = *mode;
	*mode = old;
}

struct tmksim_graph *tmksim_graph_create(void)
{
	return calloc(1, sizeof(struct tmksim_graph));
}

struct tmksim_graph *tmksim_graph_clone(const struct tmksim_graph *graph)
{
	struct tmksim_graph *copy = tmksim_graph_create();
	if (copy)
		*copy = *graph;
	return copy;
}

void tmksim_graph_destroy(struct tmksim_graph *graph)
{
	free(graph);
}

size_t tmksim_graph_nodes(const struct tmksim_graph *graph)
{
	return graph->nodes;
}

size_t tmksim_graph_add(struct tmksim_graph *graph, size_t nodes)
{
	return graph->nodes += nodes;
}
