/* context.c - contexts: one primary context a device, and a stack of them a thread.
 * Called from: memory.c, module.c. */
#include "driver.h"
#include "card.h"
#include "memory.h"
#include "stream.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH = 16 };
static struct context {
	_Atomic unsigned flags;
} contexts[TMKSIM_DEVICES];
static _Thread_local struct context *stack[DEPTH];
static _Thread_local int depth;

static struct context *primary(int device)
{
	return tmksim_device_exists(device) ? &contexts[device] : NULL;
}

/* The runtime's device is the driver's too: its thread has that primary context. */
static int runtime_device(void)
{
	static int (*_Atomic found)(int *);
	static _Atomic bool
	        looked; /* after found: two threads that look find the same */
	if (!looked) {
		found = (int (*)(int *))dlsym(RTLD_DEFAULT, "cudaGetDevice");
		looked = true;
	}
	int (*get_device)(int *) = found;
	int device = 0;
	if (get_device)
		get_device(&device);
	return device;
}

int driver_device(void)
{
	return depth ? (int)(stack[depth - 1] - contexts) : runtime_device();
}

int cuInit(unsigned flags)
{
	(void)flags;
	return tmksim_device_count() ? 0 : ERROR_NO_DEVICE;
}

int cuDriverGetVersion(int *version)
{
	*version = TMKSIM_MAJOR < 13 ? 12080 : 13000;
	return 0;
}

int cuDevicePrimaryCtxRetain(struct context **context, int device)
{
	*context = primary(device);
	if (!*context)
		return ERROR_INVALID_DEVICE;
	tmksim_touch_device(device);
	return 0;
}

int cuDevicePrimaryCtxRelease_v2(int device)
{
	return primary(device) ? 0 : ERROR_INVALID_DEVICE;
}

int cuDevicePrimaryCtxReset_v2(int device)
{
	return primary(device) ? 0 : ERROR_INVALID_DEVICE;
}

int cuDevicePrimaryCtxSetFlags_v2(int device, unsigned flags)
{
	struct context *context = primary(device);
	if (!context)
		return ERROR_INVALID_DEVICE;
	context->flags = flags;
	return 0;
}

int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active)
{
	struct context *context = primary(device);
	if (!context)
		return ERROR_INVALID_DEVICE;
	if (flags)
		*flags = context->flags;
	*active = tmksim_device_touched(device);
	return 0;
}

int cuCtxGetCurrent(struct context **context)
{
	*context = NULL;
	if (depth)
		*context = stack[depth - 1];
	else if (tmksim_device_touched(runtime_device()))
		*context = primary(runtime_device());
	return 0;
}

int cuCtxPushCurrent_v2(struct context *context)
{
	if (!context || depth == DEPTH)
		return ERROR_INVALID_CONTEXT;
	stack[depth++] = context;
	return 0;
}

int cuCtxPopCurrent_v2(struct context **context)
{
	if (!depth)
		return ERROR_INVALID_CONTEXT;
	depth--;
	if (context)
		*context = stack[depth];
	return 0;
}

int cuCtxSetCurrent(struct context *context)
{
	if (!context) {
		depth = 0;
		return 0;
	}
	if (!depth)
		depth = 1;
	stack[depth - 1] = context;
	return 0;
}

int cuCtxGetDevice(int *device)
{
	*device = driver_device();
	return 0;
}

int cuCtxGetFlags(unsigned *flags)
{
	*flags = contexts[driver_device()].flags;
	return 0;
}

int cuCtxGetId(struct context *context, unsigned long long *id)
{
	*id = (unsigned long long)((context ? context - contexts : driver_device()) +
	                           1);
	return 0;
}

int cuCtxGetApiVersion(struct context *context, unsigned *version)
{
	(void)context;
	*version = 3020;
	return 0;
}

int cuCtxGetLimit(size_t *value, int limit)
{
	static const size_t defaults[] = {1024, 1 << 20, 8 << 20};
	*value = limit >= 0 && limit < 3 ? defaults[limit] : 0;
	return 0;
}

int cuCtxSetLimit(int limit, size_t value)
{
	(void)limit, (void)value;
	return 0;
}

int cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
	if (least)
		*least = 0;
	if (greatest)
		*greatest = -5;
	return 0;
}

int cuCtxSynchronize(void)
{
	return tmksim_device_wait();
}

int cuStreamSynchronize(struct tmksim_stream *stream)
{
	return tmksim_stream_wait(stream);
}

int cuStreamQuery(struct tmksim_stream *stream)
{
	return tmksim_stream_query(stream);
}

int cuStreamGetCtx(struct tmksim_stream *stream, struct context **context)
{
	*context = primary(tmksim_stream_device(stream, driver_device()));
	return 0;
}

int cuStreamIsCapturing(struct tmksim_stream *stream, int *status)
{
	*status = tmksim_capture_status(stream);
	return 0;
}

int cuStreamGetCaptureInfo_v2(struct tmksim_stream *stream, int *status,
                              unsigned long long *id, struct tmksim_graph **graph,
                              const void ***dependencies, size_t *count)
{
	tmksim_capture_info(stream, status, id, graph, dependencies, count);
	return 0;
}

int cuStreamGetCaptureInfo_v3(struct tmksim_stream *stream, int *status,
                              unsigned long long *id, struct tmksim_graph **graph,
                              const void ***dependencies, const void **edges,
                              size_t *count)
{
	if (edges)
		*edges = NULL;
	return cuStreamGetCaptureInfo_v2(stream, status, id, graph, dependencies,
	                                 count);
}

int cuGetErrorString(int error, const char **text)
{
	static const char *(*of_runtime)(int);
	if (!of_runtime)
		of_runtime =
		        (const char *(*)(int))dlsym(RTLD_DEFAULT, "cudaGetErrorString");
	*text = of_runtime ? of_runtime(error) : "simulated device error";
	return 0;
}

int cuGetErrorName(int error, const char **name)
{
	static _Thread_local char text[32];
	snprintf(text, sizeof(text), "CUDA_ERROR_%d", error);
	*name = error == 0     ? "CUDA_SUCCESS"
	        : error == 1   ? "CUDA_ERROR_INVALID_VALUE"
	        : error == 2   ? "CUDA_ERROR_OUT_OF_MEMORY"
	        : error == 801 ? "CUDA_ERROR_NOT_SUPPORTED"
	                       : text;
	return 0;
}

/* Asked without suffix: the newest version that we have. */
int cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags,
                        int *status)
{
	(void)version, (void)flags;
	static void *_Atomic own;
	if (!own)
		own = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
	void *self = own;
	*function = NULL;
	for (int suffix = 4; self && !*function && suffix >= 1; suffix--) {
		char versioned[128];
		snprintf(versioned, sizeof(versioned), suffix > 1 ? "%s_v%d" : "%s",
		         name, suffix);
		*function = dlsym(self, versioned);
	}
	if (status)
		*status = *function ? 0 : 1;
	return *function ? 0 : ERROR_NOT_FOUND;
}

int cuGetProcAddress(const char *name, void **function, int version, uint64_t flags)
{
	return cuGetProcAddress_v2(name, function, version, flags, NULL);
}
