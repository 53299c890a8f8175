/* cuda_types.c - hooks/cuda_types.h against a toolkit's own headers; compiled where CMake
 * finds them, linked into nothing. */
#include <cuda.h>
#include <cuda_runtime_api.h>

#include "cuda_types.h"

#define SAME_FIELD(theirs, field, ours, name)                                          \
	_Static_assert(offsetof(struct theirs, field) == offsetof(struct ours, name),  \
	               #theirs "." #field)
#define SAME_SIZE(theirs, ours) _Static_assert(sizeof(theirs) == sizeof(ours), #theirs)

_Static_assert(cudaSuccess == 0, "zero is success");
SAME_SIZE(cudaError_t, tmk_cuda_error);
SAME_SIZE(cudaStream_t, tmk_cuda_handle);
SAME_SIZE(cudaMemPool_t, tmk_cuda_handle);

SAME_SIZE(struct cudaPitchedPtr, struct tmk_pitched);
SAME_FIELD(cudaPitchedPtr, ptr, tmk_pitched, ptr);
SAME_FIELD(cudaPitchedPtr, pitch, tmk_pitched, pitch);
SAME_FIELD(cudaPitchedPtr, xsize, tmk_pitched, xsize);
SAME_FIELD(cudaPitchedPtr, ysize, tmk_pitched, ysize);
SAME_SIZE(struct cudaExtent, struct tmk_extent);
SAME_FIELD(cudaExtent, width, tmk_extent, width);
SAME_FIELD(cudaExtent, height, tmk_extent, height);
SAME_FIELD(cudaExtent, depth, tmk_extent, depth);

_Static_assert((int)cudaMemPoolAttrReservedMemCurrent == TMK_POOL_RESERVED,
               "pool attribute");
_Static_assert((int)cudaMemPoolAttrUsedMemCurrent == TMK_POOL_USED, "pool attribute");
_Static_assert((int)cudaDevAttrComputeCapabilityMajor == TMK_ATTR_CC_MAJOR,
               "device attribute");
_Static_assert((int)cudaDevAttrComputeCapabilityMinor == TMK_ATTR_CC_MINOR,
               "device attribute");

_Static_assert(offsetof(CUmemAllocationProp, location.type) ==
                       offsetof(struct tmk_allocation, location),
               "kind of location");
_Static_assert(offsetof(CUmemAllocationProp, location.id) ==
                       offsetof(struct tmk_allocation, device),
               "device");
_Static_assert((int)CU_MEM_LOCATION_TYPE_DEVICE == TMK_ON_DEVICE, "location");
