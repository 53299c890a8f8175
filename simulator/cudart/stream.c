/* stream.c - streams, events and stream capture of the runtime: thin over core/stream.h. */
#include "cudart.h"
#include "memory.h"
#include "stream.h"

#include <stdbool.h>

int cudaStreamCreateWithPriority(stream_t *stream, unsigned flags, int priority)
{
	*stream = tmksim_stream_create(cudart_device(), flags, priority);
	return *stream ? 0 : cudart_error(ERROR_OUT_OF_MEMORY);
}

int cudaStreamCreateWithFlags(stream_t *stream, unsigned flags)
{
	return cudaStreamCreateWithPriority(stream, flags, 0);
}

int cudaStreamCreate(stream_t *stream)
{
	return cudaStreamCreateWithPriority(stream, 0, 0);
}

int cudaStreamDestroy(stream_t stream)
{
	return cudart_error(tmksim_stream_destroy(stream));
}

int cudaStreamGetPriority(stream_t stream, int *priority)
{
	*priority = tmksim_stream_priority(stream);
	return 0;
}

int cudaStreamGetFlags(stream_t stream, unsigned *flags)
{
	*flags = tmksim_stream_flags(stream);
	return 0;
}

int cudaStreamGetId(stream_t stream, unsigned long long *id)
{
	*id = tmksim_stream_id(stream);
	return 0;
}

int cudaStreamGetDevice(stream_t stream, int *device)
{
	*device = tmksim_stream_device(stream, cudart_device());
	return 0;
}

int cudaStreamQuery(stream_t stream)
{
	int error = tmksim_stream_query(stream);
	return error == TMKSIM_NOT_READY ? error : cudart_error(error);
}

int cudaStreamSynchronize(stream_t stream)
{
	return cudart_error(tmksim_stream_wait(stream));
}

int cudaStreamWaitEvent(stream_t stream, event_t event, unsigned flags)
{
	(void)flags;
	return cudart_error(tmksim_stream_wait_event(stream, event));
}

int cudaLaunchHostFunc(stream_t stream, void (*function)(void *), void *data)
{
	if (!tmksim_capture_status(stream))
		function(data);
	tmksim_work(stream);
	return 0;
}

int cudaStreamAddCallback(stream_t stream, void (*callback)(stream_t, int, void *),
                          void *data, unsigned flags)
{
	(void)flags;
	if (tmksim_capture_status(stream))
		return cudart_error(ERROR_CAPTURE_UNSUPPORTED);
	callback(stream, 0, data);
	tmksim_work(stream);
	return 0;
}

int cudaEventCreateWithFlags(event_t *event, unsigned flags)
{
	tmksim_touch_device(cudart_device());
	*event = tmksim_event_create(flags);
	return *event ? 0 : cudart_error(ERROR_OUT_OF_MEMORY);
}

int cudaEventCreate(event_t *event)
{
	return cudaEventCreateWithFlags(event, 0);
}

int cudaEventDestroy(event_t event)
{
	return cudart_error(tmksim_event_destroy(event));
}

int cudaEventRecordWithFlags(event_t event, stream_t stream, unsigned flags)
{
	(void)flags;
	return cudart_error(tmksim_event_record(event, stream));
}

int cudaEventRecord(event_t event, stream_t stream)
{
	return cudaEventRecordWithFlags(event, stream, 0);
}

int cudaEventQuery(event_t event)
{
	int error = tmksim_event_query(event);
	return error == TMKSIM_NOT_READY ? error : cudart_error(error);
}

int cudaEventSynchronize(event_t event)
{
	return cudart_error(tmksim_event_wait(event));
}

int cudaEventElapsedTime(float *ms, event_t from, event_t to)
{
	return cudart_error(tmksim_event_elapsed(from, to, ms));
}

int cudaStreamBeginCapture(stream_t stream, int mode)
{
	return cudart_error(tmksim_capture_begin(stream, NULL, mode));
}

int cudaStreamBeginCaptureToGraph(stream_t stream, graph_t graph,
                                  const void *dependencies, const void *edges,
                                  size_t count, int mode)
{
	(void)dependencies, (void)edges, (void)count;
	return cudart_error(tmksim_capture_begin(stream, graph, mode));
}

int cudaStreamEndCapture(stream_t stream, graph_t *graph)
{
	return cudart_error(tmksim_capture_end(stream, graph));
}

int cudaStreamIsCapturing(stream_t stream, int *status)
{
	*status = tmksim_capture_status(stream);
	return 0;
}

static int capture_info(stream_t stream, int *status, unsigned long long *id,
                        graph_t *graph, const void ***dependencies, size_t *count)
{
	tmksim_capture_info(stream, status, id, graph, dependencies, count);
	return 0;
}

int cudaStreamGetCaptureInfo_v2(stream_t stream, int *status, unsigned long long *id,
                                graph_t *graph, const void ***dependencies,
                                size_t *count)
{
	return capture_info(stream, status, id, graph, dependencies, count);
}

int cudaStreamGetCaptureInfo_v3(stream_t stream, int *status, unsigned long long *id,
                                graph_t *graph, const void ***dependencies,
                                const void **edges, size_t *count)
{
	if (edges)
		*edges = NULL;
	return capture_info(stream, status, id, graph, dependencies, count);
}

#if TMKSIM_MAJOR < 13
int cudaStreamGetCaptureInfo(stream_t stream, int *status, unsigned long long *id)
{
	return capture_info(stream, status, id, NULL, NULL, NULL);
}
#else
int cudaStreamGetCaptureInfo(stream_t stream, int *status, unsigned long long *id,
                             graph_t *graph, const void ***dependencies,
                             const void **edges, size_t *count)
{
	return cudaStreamGetCaptureInfo_v3(stream, status, id, graph, dependencies,
	                                   edges, count);
}
#endif

int cudaStreamUpdateCaptureDependencies(stream_t stream, void *dependencies,
                                        size_t count, unsigned flags)
{
	/* 13 has edge data before the count; neither is looked at */
	(void)stream, (void)dependencies, (void)count, (void)flags;
	return 0;
}

int cudaThreadExchangeStreamCaptureMode(int *mode)
{
	tmksim_capture_exchange_mode(mode);
	return 0;
}
