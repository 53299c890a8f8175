/* driver.h - what the files of the simulated libcuda.so.1 share. */
#ifndef TIDEMARK_SIMULATOR_DRIVER_H
#define TIDEMARK_SIMULATOR_DRIVER_H

#include <stddef.h>
#include <stdint.h>

enum {
	ERROR_INVALID_VALUE = 1,
	ERROR_OUT_OF_MEMORY = 2,
	ERROR_NOT_INITIALIZED = 3,
	ERROR_NO_DEVICE = 100,
	ERROR_INVALID_DEVICE = 101,
	ERROR_INVALID_CONTEXT = 201,
	ERROR_NOT_FOUND = 500,
	ERROR_NOT_SUPPORTED = 801,
};

typedef uintptr_t device_pointer;
struct tmksim_stream;

/* The device of the calling thread's context. The runtime keeps its own. */
int driver_device(void);

#endif
