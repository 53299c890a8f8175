/* memory.c - the driver's memory calls. Virtual memory management charges the device
 * when memory is created, not when addresses are reserved; since a reserved range is
 * usable as it is, mapping and access rights are only checked. */
#include "copy.h"
#include "driver.h"
#include "lock.h"
#include "memory.h"
#include "stream.h"

#include <stdlib.h>
#include <string.h>

#define GRANULARITY ((size_t)2 << 20)

struct physical {
	size_t bytes;
	int device;
	_Atomic int references; /* creation, and each mapping */
};

int cuMemGetInfo_v2(size_t *free_bytes, size_t *total_bytes)
{
	tmksim_memory_info(driver_device(), free_bytes, total_bytes);
	return 0;
}

int cuMemAlloc_v2(device_pointer *pointer, size_t bytes)
{
	if (!bytes)
		return ERROR_INVALID_VALUE;
	return tmksim_allocate(driver_device(), bytes, TMKSIM_DEVICE, true,
	                       (void **)pointer);
}

int cuMemAllocManaged(device_pointer *pointer, size_t bytes, unsigned flags)
{
	(void)flags;
	return tmksim_allocate(driver_device(), bytes, TMKSIM_MANAGED, false,
	                       (void **)pointer);
}

int cuMemFree_v2(device_pointer pointer)
{
	enum tmksim_kind kind = tmksim_find((void *)pointer).kind;
	return tmksim_free((void *)pointer,
	                   kind == TMKSIM_MANAGED ? kind : TMKSIM_DEVICE);
}

int cuMemHostAlloc(void **pointer, size_t bytes, unsigned flags)
{
	(void)flags;
	return tmksim_pin(bytes, pointer);
}

int cuMemFreeHost(void *pointer)
{
	return tmksim_unpin(pointer);
}

int cuMemHostRegister_v2(void *pointer, size_t bytes, unsigned flags)
{
	(void)flags;
	return tmksim_register(pointer, bytes);
}

int cuMemHostUnregister(void *pointer)
{
	return tmksim_unregister(pointer);
}

int cuMemHostGetDevicePointer_v2(device_pointer *device, void *pointer, unsigned flags)
{
	(void)flags;
	*device = (device_pointer)pointer;
	return 0;
}

int cuMemGetAddressRange_v2(device_pointer *base, size_t *bytes, device_pointer pointer)
{
	struct tmksim_range range = tmksim_find((void *)pointer);
	if (range.kind == TMKSIM_NOTHING)
		return ERROR_INVALID_VALUE;
	if (base)
		*base = range.at;
	if (bytes)
		*bytes = range.bytes;
	return 0;
}

int cuMemGetAllocationGranularity(size_t *bytes, const void *properties, int option)
{
	(void)properties, (void)option;
	*bytes = GRANULARITY;
	return 0;
}

int cuMemAddressReserve(device_pointer *pointer, size_t bytes, size_t alignment,
                        device_pointer wanted, unsigned long long flags)
{
	(void)alignment, (void)wanted, (void)flags;
	if (!bytes || bytes % GRANULARITY)
		return ERROR_INVALID_VALUE;
	return tmksim_allocate(driver_device(), bytes, TMKSIM_RESERVED, false,
	                       (void **)pointer);
}

int cuMemAddressFree(device_pointer pointer, size_t bytes)
{
	(void)bytes;
	return tmksim_free((void *)pointer, TMKSIM_RESERVED);
}

/* The properties begin with: type, handle types, location type, location id. */
int cuMemCreate(struct physical **physical, size_t bytes, const int *properties,
                unsigned long long flags)
{
	(void)flags;
	enum { ON_DEVICE = 1 };
	if (!bytes || bytes % GRANULARITY)
		return ERROR_INVALID_VALUE;
	*physical = calloc(1, sizeof(**physical));
	if (!*physical)
		return ERROR_OUT_OF_MEMORY;
	int device = properties[2] == ON_DEVICE ? properties[3] : -1;
	int error = device < 0 ? 0 : tmksim_charge(device, bytes);
	if (error) {
		free(*physical);
		*physical = NULL;
		return error;
	}
	**physical = (struct physical){bytes, device, 1};
	return 0;
}

/* Which memory is mapped where: a mapping keeps its memory alive. */
static struct mapping {
	device_pointer at;
	struct physical *physical;
	struct mapping *next;
} * mappings;

static void drop(struct physical *physical)
{
	if (--physical->references)
		return;
	if (physical->device >= 0)
		tmksim_uncharge(physical->device, physical->bytes);
	free(physical);
}

int cuMemRelease(struct physical *physical)
{
	tmksim_lock(TMKSIM_LOCK_MAPPING);
	drop(physical);
	tmksim_unlock(TMKSIM_LOCK_MAPPING);
	return 0;
}

int cuMemMap(device_pointer pointer, size_t bytes, size_t offset,
             struct physical *physical, unsigned long long flags)
{
	(void)flags;
	struct tmksim_range range = tmksim_find((void *)pointer);
	if (range.kind != TMKSIM_RESERVED || offset ||
	    range.at + range.bytes - pointer < bytes)
		return ERROR_INVALID_VALUE;
	struct mapping *mapping = malloc(sizeof(*mapping));
	if (!mapping)
		return ERROR_OUT_OF_MEMORY;
	tmksim_lock(TMKSIM_LOCK_MAPPING);
	physical->references++;
	*mapping = (struct mapping){pointer, physical, mappings};
	mappings = mapping;
	tmksim_unlock(TMKSIM_LOCK_MAPPING);
	return 0;
}

int cuMemUnmap(device_pointer pointer, size_t bytes)
{
	tmksim_lock(TMKSIM_LOCK_MAPPING);
	for (struct mapping **at = &mappings; *at;) {
		struct mapping *mapping = *at;
		if (mapping->at < pointer || mapping->at >= pointer + bytes) {
			at = &mapping->next;
			continue;
		}
		*at = mapping->next;
		drop(mapping->physical);
		free(mapping);
	}
	tmksim_unlock(TMKSIM_LOCK_MAPPING);
	tmksim_forget_pages((void *)pointer, bytes);
	return 0;
}

int cuMemRetainAllocationHandle(struct physical **physical, void *pointer)
{
	int error = ERROR_INVALID_VALUE;
	tmksim_lock(TMKSIM_LOCK_MAPPING);
	for (struct mapping *m = mappings; m && error; m = m->next) {
		if ((device_pointer)pointer - m->at >= m->physical->bytes)
			continue;
		m->physical->references++;
		*physical = m->physical;
		error = 0;
	}
	tmksim_unlock(TMKSIM_LOCK_MAPPING);
	return error;
}

int cuMemSetAccess(device_pointer pointer, size_t bytes, const void *access,
                   size_t count)
{
	(void)bytes, (void)access, (void)count;
	return tmksim_find((void *)pointer).kind == TMKSIM_RESERVED
	               ? 0
	               : ERROR_INVALID_VALUE;
}

int cuMemGetAccess(unsigned long long *flags, const void *location,
                   device_pointer pointer)
{
	(void)location, (void)pointer;
	*flags = 3; /* read and write */
	return 0;
}

static int copied(device_pointer to, device_pointer from, size_t bytes,
                  struct tmksim_stream *stream)
{
	tmksim_copy((void *)to, (const void *)from, bytes);
	tmksim_work(stream);
	return 0;
}

int cuMemcpyHtoD_v2(device_pointer to, const void *from, size_t bytes)
{
	return copied(to, (device_pointer)from, bytes, NULL);
}

int cuMemcpyDtoH_v2(void *to, device_pointer from, size_t bytes)
{
	return copied((device_pointer)to, from, bytes, NULL);
}

int cuMemcpyDtoD_v2(device_pointer to, device_pointer from, size_t bytes)
{
	return copied(to, from, bytes, NULL);
}

int cuMemcpy(device_pointer to, device_pointer from, size_t bytes)
{
	return copied(to, from, bytes, NULL);
}

int cuMemcpyAsync(device_pointer to, device_pointer from, size_t bytes,
                  struct tmksim_stream *stream)
{
	return copied(to, from, bytes, stream);
}

int cuMemcpyHtoDAsync_v2(device_pointer to, const void *from, size_t bytes,
                         struct tmksim_stream *stream)
{
	return copied(to, (device_pointer)from, bytes, stream);
}

int cuMemcpyDtoHAsync_v2(void *to, device_pointer from, size_t bytes,
                         struct tmksim_stream *stream)
{
	return copied((device_pointer)to, from, bytes, stream);
}

int cuMemcpyDtoDAsync_v2(device_pointer to, device_pointer from, size_t bytes,
                         struct tmksim_stream *stream)
{
	return copied(to, from, bytes, stream);
}

static int filled(device_pointer to, unsigned value, size_t width, size_t count,
                  struct tmksim_stream *stream)
{
	tmksim_fill((void *)to, value, width, count);
	tmksim_work(stream);
	return 0;
}

int cuMemsetD8_v2(device_pointer to, unsigned char value, size_t count)
{
	return filled(to, value, 1, count, NULL);
}

int cuMemsetD32_v2(device_pointer to, unsigned value, size_t count)
{
	return filled(to, value, 4, count, NULL);
}

int cuMemsetD8Async(device_pointer to, unsigned char value, size_t count,
                    struct tmksim_stream *stream)
{
	return filled(to, value, 1, count, stream);
}

int cuMemsetD16Async(device_pointer to, unsigned short value, size_t count,
                     struct tmksim_stream *stream)
{
	return filled(to, value, 2, count, stream);
}

int cuMemsetD32Async(device_pointer to, unsigned value, size_t count,
                     struct tmksim_stream *stream)
{
	return filled(to, value, 4, count, stream);
}
