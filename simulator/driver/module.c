/* module.c - modules and kernels loaded by the driver (Triton, NVRTC): any image loads,
 * any kernel in it exists, a launch is work on its stream. */
#include "card.h"
#include "driver.h"
#include "entry.h"
#include "memory.h"
#include "stream.h"

#include <string.h>

static int make(struct tmksim_handle **handle)
{
	*handle = tmksim_handle_create();
	return *handle ? 0 : ERROR_OUT_OF_MEMORY;
}

int cuModuleLoad(struct tmksim_handle **module, const char *path)
{
	(void)path;
	return make(module);
}

int cuModuleLoadData(struct tmksim_handle **module, const void *image)
{
	(void)image;
	return make(module);
}

int cuModuleLoadDataEx(struct tmksim_handle **module, const void *image, unsigned count,
                       void *options, void **values)
{
	(void)image, (void)count, (void)options, (void)values;
	return make(module);
}

int cuModuleLoadFatBinary(struct tmksim_handle **module, const void *image)
{
	(void)image;
	return make(module);
}

int cuModuleUnload(struct tmksim_handle *module)
{
	tmksim_handle_destroy(module);
	return 0;
}

int cuModuleGetFunction(void **function, struct tmksim_handle *module, const char *name)
{
	(void)name;
	*function = module; /* a kernel's name does not matter: it does nothing */
	return 0;
}

int cuModuleGetGlobal_v2(device_pointer *pointer, size_t *bytes, void *module,
                         const char *name)
{
	(void)module, (void)name;
	enum { SIZE = 4096 }; /* what a module declares is not read */
	if (bytes)
		*bytes = SIZE;
	return pointer ? tmksim_allocate(driver_device(), SIZE, TMKSIM_DEVICE, false,
	                                 (void **)pointer)
	               : 0;
}

int cuLibraryLoadData(struct tmksim_handle **library)
{
	return make(library);
}

int cuLibraryLoadFromFile(struct tmksim_handle **library)
{
	return make(library);
}

int cuLibraryUnload(struct tmksim_handle *library)
{
	tmksim_handle_destroy(library);
	return 0;
}

int cuLibraryGetKernel(void **kernel, struct tmksim_handle *library, const char *name)
{
	(void)name;
	*kernel = library;
	return 0;
}

int cuLibraryGetModule(void **module, struct tmksim_handle *library)
{
	*module = library;
	return 0;
}

int cuKernelGetFunction(void **function, void *kernel)
{
	*function = kernel;
	return 0;
}

int cuFuncGetAttribute(int *value, int attribute, void *function)
{
	enum { THREADS = 0, REGISTERS = 4, PTX = 5, BINARY = 6 };
	(void)function;
	int card = tmksim_card()->major * 10 + tmksim_card()->minor;
	*value = attribute == THREADS                      ? 1024
	         : attribute == REGISTERS                  ? 32
	         : attribute == PTX || attribute == BINARY ? card
	                                                   : 0;
	return 0;
}

int cuKernelGetAttribute(int *value, int attribute, void *kernel, int device)
{
	(void)device;
	return cuFuncGetAttribute(value, attribute, kernel);
}

int cuFuncSetAttribute(void *function, int attribute, int value)
{
	(void)function, (void)attribute, (void)value;
	return 0;
}

int cuKernelSetAttribute(int attribute, int value, void *kernel, int device)
{
	(void)attribute, (void)value, (void)kernel, (void)device;
	return 0;
}

int cuFuncSetCacheConfig(void *function, int config)
{
	(void)function, (void)config;
	return 0;
}

int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *function,
                                                int threads, size_t shared_bytes)
{
	(void)function, (void)shared_bytes;
	*blocks = threads > 0 && threads < tmksim_card()->threads_per_multiprocessor
	                  ? tmksim_card()->threads_per_multiprocessor / threads
	                  : 1;
	return 0;
}

int cuOccupancyMaxActiveClusters(int *clusters, void *function, const void *config)
{
	(void)function, (void)config;
	*clusters = tmksim_card()->multiprocessors / 2;
	return 0;
}

static int launch(struct tmksim_stream *stream)
{
	tmksim_touch_device(driver_device());
	tmksim_work(stream);
	return 0;
}

int cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                   unsigned block_x, unsigned block_y, unsigned block_z,
                   unsigned shared_bytes, struct tmksim_stream *stream,
                   void **arguments, void **extra)
{
	(void)function, (void)grid_x, (void)grid_y, (void)grid_z, (void)block_x;
	(void)block_y, (void)block_z, (void)shared_bytes, (void)arguments, (void)extra;
	return launch(stream);
}

int cuLaunchCooperativeKernel(void *function, unsigned grid_x, unsigned grid_y,
                              unsigned grid_z, unsigned block_x, unsigned block_y,
                              unsigned block_z, unsigned shared_bytes,
                              struct tmksim_stream *stream, void **arguments)
{
	return cuLaunchKernel(function, grid_x, grid_y, grid_z, block_x, block_y,
	                      block_z, shared_bytes, stream, arguments, NULL);
}

struct launch_config {
	unsigned grid[3], block[3], shared_bytes;
	struct tmksim_stream *stream;
};

int cuLaunchKernelEx(const struct launch_config *config, void *function,
                     void **arguments, void **extra)
{
	(void)function, (void)arguments, (void)extra;
	return launch(config->stream);
}

int cuTensorMapEncodeTiled(void *map)
{
	memset(map, 0,
	       128); /* eleven more arguments describe a tensor to the hardware */
	return 0;
}
