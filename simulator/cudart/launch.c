/* launch.c - kernel launches, which do nothing but count as work, and the attributes that
 * callers size their launches and temporary storage by. */
#include "card.h"
#include "cudart.h"
#include "image.h"
#include "memory.h"
#include "stream.h"
#include "values.h"

#include <stdint.h>
#include <string.h>

/* What `kernel<<<grid, block, shared, stream>>>` pushes before it calls the host stub. */
struct configuration {
	struct extent grid, block;
	size_t shared_bytes;
	void *stream;
};
enum { NESTED = 16 };
static _Thread_local struct configuration pushed[NESTED];
static _Thread_local int depth;

unsigned __cudaPushCallConfiguration(struct extent grid, struct extent block,
                                     size_t shared_bytes, void *stream)
{
	if (depth == NESTED)
		return ERROR_MISSING_CONFIGURATION;
	pushed[depth++] = (struct configuration){grid, block, shared_bytes, stream};
	return 0;
}

int __cudaPopCallConfiguration(struct extent *grid, struct extent *block,
                               size_t *shared_bytes, void **stream)
{
	if (!depth)
		return cudart_error(ERROR_MISSING_CONFIGURATION);
	const struct configuration *top = &pushed[--depth];
	*grid = top->grid;
	*block = top->block;
	*shared_bytes = top->shared_bytes;
	*stream = top->stream;
	return 0;
}

static int launch(const void *function, void **arguments, stream_t stream)
{
	if (cudart_check_image(function))
		return ERROR_NO_IMAGE;
	enum tmksim_trait trait = cudart_note_launch(function, arguments);
	tmksim_touch_device(cudart_device());
	tmksim_work(stream);
	if (trait == TMKSIM_SPIN && arguments) {
		double cycles = (double)*(const int64_t *)arguments[0];
		tmksim_stream_busy(stream,
		                   (uint64_t)(cycles * 1e6 / tmksim_card()->clock_khz));
	}
	return 0;
}

int cudaLaunchKernel(const void *function, struct extent grid, struct extent block,
                     void **arguments, size_t shared_bytes, stream_t stream)
{
	(void)grid, (void)block, (void)shared_bytes;
	return launch(function, arguments, stream);
}

int cudaLaunchCooperativeKernel(const void *function, struct extent grid,
                                struct extent block, void **arguments,
                                size_t shared_bytes, stream_t stream)
{
	return cudaLaunchKernel(function, grid, block, arguments, shared_bytes, stream);
}

int cudaLaunchKernelExC(const struct launch_config *config, const void *function,
                        void **arguments)
{
	return launch(function, arguments, config->stream);
}

/* nvcc 13's host stubs ask for the kernel first and launch that. */
int __cudaGetKernel(const void **kernel, const void *function)
{
	*kernel = function;
	return cudart_check_image(function);
}

int __cudaLaunchKernel(const void *kernel, struct extent grid, struct extent block,
                       void **arguments, size_t shared_bytes, stream_t stream)
{
	return cudaLaunchKernel(kernel, grid, block, arguments, shared_bytes, stream);
}

int __cudaLaunchKernel_ptsz(const void *kernel, struct extent grid, struct extent block,
                            void **arguments, size_t shared_bytes, stream_t stream)
{
	return cudaLaunchKernel(kernel, grid, block, arguments, shared_bytes, stream);
}

int cudaFuncGetAttributes(struct function_attributes *attributes, const void *function)
{
	memset(attributes, 0, sizeof(*attributes));
	if (cudart_check_image(function))
		return ERROR_NO_IMAGE;
	const struct image *image = cudart_image(function);
	int card = tmksim_card()->major * 10 + tmksim_card()->minor;
	/* registers and shared memory stand in the compressed machine code: assumed */
	attributes->max_threads = 1024;
	attributes->registers = 32;
	/* CUB picks its tuning by these and refuses an architecture it was not built for */
	attributes->ptx_version = image ? image->ptx : card;
	attributes->binary_version = image ? image->binary : card;
	attributes->max_dynamic_shared_bytes = 49152;
	attributes->shared_carveout = -1;
	return 0;
}

int cudaFuncSetAttribute(const void *function, int attribute, int value)
{
	(void)function, (void)attribute, (void)value;
	return 0;
}

int cudaFuncSetCacheConfig(const void *function, int config)
{
	(void)function, (void)config;
	return 0;
}

int cudaFuncGetName(const char **name, const void *function)
{
	const char *known = cudart_kernel_name(function);
	*name = known ? known : "kernel";
	return 0;
}

int cudaKernelSetAttributeForDevice(const void *kernel, int attribute, int value,
                                    int device)
{
	(void)kernel, (void)attribute, (void)value, (void)device;
	return 0;
}

int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks,
                                                           const void *function,
                                                           int threads,
                                                           size_t shared_bytes,
                                                           unsigned flags)
{
	(void)function, (void)flags;
	const struct tmksim_card *card = tmksim_card();
	int by_threads = threads > 0 ? card->threads_per_multiprocessor / threads : 0;
	int most = card->blocks_per_multiprocessor;
	if (shared_bytes) {
		int by_shared =
		        card->shared_per_multiprocessor / (int)(shared_bytes + 1024);
		most = by_shared < most ? by_shared : most;
	}
	most = by_threads < most ? by_threads : most;
	*blocks = most > 0 ? most : 1;
	return 0;
}

int cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *function,
                                                  int threads, size_t shared_bytes)
{
	return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
	        blocks, function, threads, shared_bytes, 0);
}

int cudaOccupancyAvailableDynamicSMemPerBlock(size_t *bytes, const void *function,
                                              int blocks, int threads)
{
	(void)function, (void)threads;
	*bytes = (size_t)tmksim_card()->shared_per_multiprocessor /
	         (blocks > 0 ? blocks : 1);
	return 0;
}

int cudaOccupancyMaxActiveClusters(int *clusters, const void *function,
                                   const void *config)
{
	(void)function, (void)config;
	*clusters = tmksim_card()->multiprocessors / 2;
	return 0;
}
