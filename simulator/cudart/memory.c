/* memory.c - cudaMalloc and its like, pinned memory, and what a pointer is. */
#include "cudart.h"
#include "memory.h"
#include "stream.h"

#include <string.h>

int cudaMalloc(void **pointer, size_t bytes)
{
	if (!pointer)
		return cudart_error(ERROR_INVALID_VALUE);
	if (tmksim_capture_forbids())
		return cudart_error(ERROR_CAPTURE_UNSUPPORTED);
	return cudart_error(
	        tmksim_allocate(cudart_device(), bytes, TMKSIM_DEVICE, true, pointer));
}

int cudaMallocManaged(void **pointer, size_t bytes, unsigned flags)
{
	(void)flags;
	if (!pointer || !bytes)
		return cudart_error(ERROR_INVALID_VALUE);
	/* managed memory may exceed the device: it is charged nowhere */
	return cudart_error(tmksim_allocate(cudart_device(), bytes, TMKSIM_MANAGED,
	                                    false, pointer));
}

int cudaMallocPitch(void **pointer, size_t *pitch, size_t width, size_t height)
{
	*pitch = (width + 511) / 512 * 512;
	return cudaMalloc(pointer, *pitch * height);
}

int cudaFree(void *pointer)
{
	/* cudaFree(NULL) is how programs make a context */
	if (!pointer) {
		tmksim_touch_device(cudart_device());
		return 0;
	}
	if (tmksim_capture_forbids())
		return cudart_error(ERROR_CAPTURE_UNSUPPORTED);
	enum tmksim_kind kind = tmksim_find(pointer).kind;
	if (kind != TMKSIM_DEVICE && kind != TMKSIM_MANAGED)
		return cudart_error(ERROR_INVALID_VALUE);
	return cudart_error(tmksim_free(pointer, kind));
}

int cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
	tmksim_memory_info(cudart_device(), free_bytes, total_bytes);
	return 0;
}

int cudaHostAlloc(void **pointer, size_t bytes, unsigned flags)
{
	(void)flags;
	if (!pointer)
		return cudart_error(ERROR_INVALID_VALUE);
	tmksim_touch_device(cudart_device());
	return cudart_error(tmksim_pin(bytes, pointer));
}

int cudaMallocHost(void **pointer, size_t bytes)
{
	return cudaHostAlloc(pointer, bytes, 0);
}

int cudaFreeHost(void *pointer)
{
	return cudart_error(tmksim_unpin(pointer));
}

int cudaHostRegister(void *pointer, size_t bytes, unsigned flags)
{
	(void)flags;
	return cudart_error(tmksim_register(pointer, bytes));
}

int cudaHostUnregister(void *pointer)
{
	return cudart_error(tmksim_unregister(pointer));
}

int cudaHostGetDevicePointer(void **device_pointer, void *pointer, unsigned flags)
{
	(void)flags;
	if (tmksim_find(pointer).kind == TMKSIM_NOTHING)
		return cudart_error(ERROR_INVALID_VALUE);
	*device_pointer = pointer;
	return 0;
}

int cudaHostGetFlags(unsigned *flags, void *pointer)
{
	*flags = 0;
	return tmksim_find(pointer).kind == TMKSIM_NOTHING
	               ? cudart_error(ERROR_INVALID_VALUE)
	               : 0;
}

int cudaPointerGetAttributes(struct pointer_attributes *attributes, const void *pointer)
{
	enum { UNREGISTERED, HOST, DEVICE, MANAGED };
	memset(attributes, 0, sizeof(*attributes));
	struct tmksim_range range = tmksim_find(pointer);
	switch (range.kind) {
	case TMKSIM_NOTHING:
		attributes->type = UNREGISTERED;
		attributes->device = -2;
		attributes->host_pointer = (void *)pointer;
		return 0;
	case TMKSIM_PINNED:
	case TMKSIM_REGISTERED:
		attributes->type = HOST;
		attributes->host_pointer = (void *)pointer;
		break;
	case TMKSIM_MANAGED:
		attributes->type = MANAGED;
		attributes->host_pointer = (void *)pointer;
		break;
	default:
		attributes->type = DEVICE;
	}
	attributes->device = range.device;
	attributes->device_pointer = (void *)pointer;
	return 0;
}

int cudaMemPrefetchAsync(const void *pointer, size_t bytes, int device, stream_t stream)
{
	/* 13 passes a location struct in the third register and one argument more: nothing
	 * here depends on where managed memory is */
	(void)pointer, (void)bytes, (void)device, (void)stream;
	return 0;
}

int cudaMemAdvise(const void *pointer, size_t bytes, int advice, int device)
{
	(void)pointer, (void)bytes, (void)advice, (void)device;
	return 0;
}
