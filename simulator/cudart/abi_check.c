/* abi_check.c - our offsets against a toolkit's headers; compiled where CMake finds one,
 * linked into nothing. */
#include <cuda_runtime_api.h>

#include <stddef.h>

#undef cudaGetDeviceProperties
#include "cudart.h"

#define FIELD(name, bytes, offset12, offset13, attribute)                              \
	_Static_assert(offsetof(struct cudaDeviceProp, name) ==                        \
	                       (TMKSIM_MAJOR < 13 ? offset12 : offset13),              \
	               #name);                                                         \
	_Static_assert(sizeof(((struct cudaDeviceProp *)0)->name) == (bytes), #name);
DEVICE_PROPERTIES(FIELD)

_Static_assert(CUDART_VERSION / 1000 == TMKSIM_MAJOR, "headers of another major");
_Static_assert(sizeof(struct cudaDeviceProp) == PROPERTIES_BYTES, "properties");
_Static_assert(offsetof(struct cudaDeviceProp, uuid) == PROPERTY_UUID, "uuid");
_Static_assert(offsetof(struct cudaDeviceProp, totalGlobalMem) == PROPERTY_MEMORY,
               "memory");

#define SAME(theirs, their_field, ours, our_field)                                     \
	_Static_assert(offsetof(struct theirs, their_field) ==                         \
	                       offsetof(struct ours, our_field),                       \
	               #their_field);
_Static_assert(sizeof(struct cudaPointerAttributes) ==
                       sizeof(struct pointer_attributes),
               "");
SAME(cudaPointerAttributes, device, pointer_attributes, device)
SAME(cudaPointerAttributes, devicePointer, pointer_attributes, device_pointer)
SAME(cudaPointerAttributes, hostPointer, pointer_attributes, host_pointer)
_Static_assert(sizeof(struct cudaFuncAttributes) == sizeof(struct function_attributes),
               "");
SAME(cudaFuncAttributes, maxThreadsPerBlock, function_attributes, max_threads)
SAME(cudaFuncAttributes, numRegs, function_attributes, registers)
SAME(cudaFuncAttributes, ptxVersion, function_attributes, ptx_version)
SAME(cudaFuncAttributes, binaryVersion, function_attributes, binary_version)
SAME(cudaFuncAttributes, maxDynamicSharedSizeBytes, function_attributes,
     max_dynamic_shared_bytes)
SAME(cudaFuncAttributes, preferredShmemCarveout, function_attributes, shared_carveout)
_Static_assert(sizeof(struct cudaLaunchConfig_st) == sizeof(struct launch_config), "");
SAME(cudaLaunchConfig_st, stream, launch_config, stream)
SAME(cudaLaunchConfig_st, numAttrs, launch_config, attribute_count)
