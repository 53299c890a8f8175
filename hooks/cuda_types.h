/* cuda_types.h - the few CUDA types our wrappers pass on. Declared here so that neither
 * build nor tests need a CUDA Toolkit; tests/unit/cuda_types.c asserts them against the
 * toolkit's own headers where one is found. Enumerations are ints, handles pointers. */
#ifndef TIDEMARK_HOOKS_CUDA_TYPES_H
#define TIDEMARK_HOOKS_CUDA_TYPES_H

#include <stddef.h>

typedef int tmk_cuda_error;    /* cudaError_t, CUresult, ncclResult_t: 0 is success */
typedef void *tmk_cuda_handle; /* cudaStream_t, cudaMemPool_t: pointers */

struct tmk_pitched { /* cudaPitchedPtr */
	void *ptr;
	size_t pitch, xsize, ysize;
};
struct tmk_extent { /* cudaExtent */
	size_t width, height, depth;
};

struct tmk_allocation { /* how CUmemAllocationProp begins */
	int type, handle_types, location, device;
};

enum { /* cudaMemPoolAttr, cudaDeviceAttr and others: values that never changed */
       TMK_POOL_RESERVED = 5,
       TMK_POOL_USED = 7,
       TMK_ATTR_CC_MAJOR = 75,
       TMK_ATTR_CC_MINOR = 76,
       TMK_ON_DEVICE = 1, /* CUmemLocationType */
};

#endif
