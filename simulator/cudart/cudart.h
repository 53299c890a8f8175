/* cudart.h - what the files of the simulated CUDA runtime share: the thread's device and
 * last error, and the layouts of structs that callers own, by offset.
 * TMKSIM_MAJOR is 12 or 13; abi_check.c holds the offsets against a toolkit's headers. */
#ifndef TIDEMARK_SIMULATOR_CUDART_H
#define TIDEMARK_SIMULATOR_CUDART_H

#include <stddef.h>
#include <stdint.h>

enum {
	ERROR_INVALID_VALUE = 1,
	ERROR_OUT_OF_MEMORY = 2,
	ERROR_MISSING_CONFIGURATION = 52,
	ERROR_INVALID_FUNCTION = 98,
	ERROR_NO_DEVICE = 100,
	ERROR_INVALID_DEVICE = 101,
	ERROR_NO_IMAGE = 209,
	ERROR_INVALID_HANDLE = 400,
	ERROR_PEER_ENABLED = 704,
	ERROR_PEER_NOT_ENABLED = 705,
	ERROR_NOT_SUPPORTED = 801,
	ERROR_CAPTURE_UNSUPPORTED = 900,
};

struct tmksim_stream;
struct tmksim_event;
struct tmksim_graph;
typedef struct tmksim_stream *stream_t;
typedef struct tmksim_event *event_t;
typedef struct tmksim_graph *graph_t;

/* The calling thread's current device. */
int cudart_device(void);
/* Keeps an error for cudaGetLastError and gives it back; 0 passes through. */
int cudart_error(int error);

/* field, bytes, offset in 12, offset in 13, the attribute that holds its value */
#define DEVICE_PROPERTIES(FIELD)                                                       \
	FIELD(sharedMemPerBlock, 8, 296, 296, 8)                                       \
	FIELD(regsPerBlock, 4, 304, 304, 12)                                           \
	FIELD(warpSize, 4, 308, 308, 10)                                               \
	FIELD(memPitch, 8, 312, 312, 11)                                               \
	FIELD(maxThreadsPerBlock, 4, 320, 320, 1)                                      \
	FIELD(maxThreadsDim[0], 4, 324, 324, 2)                                        \
	FIELD(maxThreadsDim[1], 4, 328, 328, 3)                                        \
	FIELD(maxThreadsDim[2], 4, 332, 332, 4)                                        \
	FIELD(maxGridSize[0], 4, 336, 336, 5)                                          \
	FIELD(maxGridSize[1], 4, 340, 340, 6)                                          \
	FIELD(maxGridSize[2], 4, 344, 344, 7)                                          \
	FIELD(totalConstMem, 8, 352, 352, 9)                                           \
	FIELD(major, 4, 360, 360, 75)                                                  \
	FIELD(minor, 4, 364, 364, 76)                                                  \
	FIELD(textureAlignment, 8, 368, 368, 14)                                       \
	FIELD(texturePitchAlignment, 8, 376, 376, 51)                                  \
	FIELD(multiProcessorCount, 4, 388, 384, 16)                                    \
	FIELD(canMapHostMemory, 4, 400, 392, 19)                                       \
	FIELD(concurrentKernels, 4, 576, 560, 31)                                      \
	FIELD(ECCEnabled, 4, 580, 564, 32)                                             \
	FIELD(pciBusID, 4, 584, 568, 33)                                               \
	FIELD(asyncEngineCount, 4, 600, 584, 40)                                       \
	FIELD(unifiedAddressing, 4, 604, 588, 41)                                      \
	FIELD(memoryBusWidth, 4, 612, 592, 37)                                         \
	FIELD(l2CacheSize, 4, 616, 596, 38)                                            \
	FIELD(persistingL2CacheMaxSize, 4, 620, 600, 108)                              \
	FIELD(maxThreadsPerMultiProcessor, 4, 624, 604, 39)                            \
	FIELD(streamPrioritiesSupported, 4, 628, 608, 78)                              \
	FIELD(globalL1CacheSupported, 4, 632, 612, 79)                                 \
	FIELD(localL1CacheSupported, 4, 636, 616, 80)                                  \
	FIELD(sharedMemPerMultiprocessor, 8, 640, 624, 81)                             \
	FIELD(regsPerMultiprocessor, 4, 648, 632, 82)                                  \
	FIELD(managedMemory, 4, 652, 636, 83)                                          \
	FIELD(concurrentManagedAccess, 4, 676, 656, 89)                                \
	FIELD(computePreemptionSupported, 4, 680, 660, 90)                             \
	FIELD(canUseHostPointerForRegisteredMem, 4, 684, 664, 91)                      \
	FIELD(cooperativeLaunch, 4, 688, 668, 95)                                      \
	FIELD(sharedMemPerBlockOptin, 8, 696, 672, 97)                                 \
	FIELD(maxBlocksPerMultiProcessor, 4, 712, 688, 106)                            \
	FIELD(reservedSharedMemPerBlock, 8, 720, 696, 111)                             \
	FIELD(hostRegisterSupported, 4, 728, 704, 99)                                  \
	FIELD(memoryPoolsSupported, 4, 744, 720, 115)                                  \
	FIELD(ipcEventSupported, 4, 768, 744, 125)                                     \
	FIELD(clusterLaunch, 4, 772, 748, 120)

enum {
	PROPERTY_NAME = 0,
	PROPERTY_UUID = 256,
	PROPERTY_MEMORY = 288,
	PROPERTIES_BYTES = TMKSIM_MAJOR < 13 ? 1032 : 1008,
};

/* cudaPointerAttributes: the fields are alike, but 13 has room behind them that a caller
 * built for 12 has not. */
struct pointer_attributes {
	int type, device;
	void *device_pointer, *host_pointer;
#if TMKSIM_MAJOR >= 13
	long reserved[8];
#endif
};

struct function_attributes {
	size_t shared_bytes, constant_bytes, local_bytes;
	int max_threads, registers, ptx_version, binary_version, cache_mode;
	int max_dynamic_shared_bytes, shared_carveout;
	int rest[23];
};

struct extent {
	unsigned x, y, z;
};

struct launch_config {
	struct extent grid, block;
	size_t shared_bytes;
	stream_t stream;
	void *attributes;
	unsigned attribute_count;
};

_Static_assert(sizeof(struct pointer_attributes) == (TMKSIM_MAJOR < 13 ? 24 : 88),
               "ABI");
_Static_assert(sizeof(struct function_attributes) == 144, "ABI");
_Static_assert(sizeof(struct launch_config) == 56, "ABI");
_Static_assert(offsetof(struct launch_config, stream) == 32, "ABI");

#endif
