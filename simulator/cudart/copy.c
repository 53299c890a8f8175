/* copy.c - cudaMemcpy and cudaMemset in their variants: each is a copy and, where it
 * names a stream, a piece of work on it. */
#include "cudart.h"
#include "copy.h"
#include "memory.h"
#include "stream.h"

static int copied(void *to, const void *from, size_t bytes, stream_t stream)
{
	tmksim_touch_device(cudart_device());
	tmksim_copy(to, from, bytes);
	tmksim_work(stream);
	return 0;
}

int cudaMemcpy(void *to, const void *from, size_t bytes, int kind)
{
	(void)kind;
	if (tmksim_capture_forbids())
		return cudart_error(ERROR_CAPTURE_UNSUPPORTED);
	return copied(to, from, bytes, NULL);
}

int cudaMemcpyAsync(void *to, const void *from, size_t bytes, int kind, stream_t stream)
{
	(void)kind;
	return copied(to, from, bytes, stream);
}

int cudaMemcpyPeer(void *to, int to_device, const void *from, int from_device,
                   size_t bytes)
{
	(void)to_device, (void)from_device;
	return copied(to, from, bytes, NULL);
}

int cudaMemcpyPeerAsync(void *to, int to_device, const void *from, int from_device,
                        size_t bytes, stream_t stream)
{
	(void)to_device, (void)from_device;
	return copied(to, from, bytes, stream);
}

int cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                      size_t width, size_t height, int kind, stream_t stream)
{
	(void)kind;
	tmksim_touch_device(cudart_device());
	tmksim_copy_rows(to, to_pitch, from, from_pitch, width, height);
	tmksim_work(stream);
	return 0;
}

int cudaMemcpy2D(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                 size_t width, size_t height, int kind)
{
	return cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, width, height, kind,
	                         NULL);
}

/* A __device__ variable's address is its host shadow: see cudaGetSymbolAddress. */
int cudaMemcpyToSymbol(const void *symbol, const void *from, size_t bytes,
                       size_t offset, int kind)
{
	(void)kind;
	return copied((char *)symbol + offset, from, bytes, NULL);
}

int cudaMemcpyToSymbolAsync(const void *symbol, const void *from, size_t bytes,
                            size_t offset, int kind, stream_t stream)
{
	(void)kind;
	return copied((char *)symbol + offset, from, bytes, stream);
}

int cudaMemcpyFromSymbol(void *to, const void *symbol, size_t bytes, size_t offset,
                         int kind)
{
	(void)kind;
	return copied(to, (const char *)symbol + offset, bytes, NULL);
}

int cudaMemcpyFromSymbolAsync(void *to, const void *symbol, size_t bytes, size_t offset,
                              int kind, stream_t stream)
{
	(void)kind;
	return copied(to, (const char *)symbol + offset, bytes, stream);
}

int cudaGetSymbolAddress(void **pointer, const void *symbol)
{
	*pointer = (void *)symbol;
	return 0;
}

int cudaMemsetAsync(void *to, int value, size_t bytes, stream_t stream)
{
	tmksim_touch_device(cudart_device());
	tmksim_fill(to, (unsigned char)value, 1, bytes);
	tmksim_work(stream);
	return 0;
}

int cudaMemset(void *to, int value, size_t bytes)
{
	return cudaMemsetAsync(to, value, bytes, NULL);
}

int cudaMemset2DAsync(void *to, size_t pitch, int value, size_t width, size_t height,
                      stream_t stream)
{
	for (size_t row = 0; row < height; row++)
		tmksim_fill((char *)to + row * pitch, (unsigned char)value, 1, width);
	tmksim_work(stream);
	return 0;
}

int cudaMemset2D(void *to, size_t pitch, int value, size_t width, size_t height)
{
	return cudaMemset2DAsync(to, pitch, value, width, height, NULL);
}
