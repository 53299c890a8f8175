/* device.c - devices as the driver names them. */
#include "card.h"
#include "driver.h"
#include "memory.h"

#include <stdio.h>
#include <string.h>

int cuDeviceGetCount(int *count)
{
	if (!tmksim_started())
		return ERROR_NOT_INITIALIZED;
	*count = tmksim_device_count();
	return 0;
}

int cuDeviceGet(int *device, int ordinal)
{
	if (!tmksim_device_exists(ordinal))
		return ERROR_INVALID_DEVICE;
	*device = ordinal;
	return 0;
}

int cuDeviceGetName(char *name, int bytes, int device)
{
	(void)device;
	snprintf(name, (size_t)bytes, "%s", tmksim_card()->name);
	return 0;
}

int cuDeviceGetUuid(unsigned char *uuid, int device)
{
	if (!tmksim_device_exists(device))
		return ERROR_INVALID_DEVICE;
	tmksim_uuid(tmksim_machine_number(device), uuid);
	return 0;
}

int cuDeviceGetUuid_v2(unsigned char *uuid, int device)
{
	return cuDeviceGetUuid(uuid, device);
}

int cuDeviceTotalMem_v2(size_t *bytes, int device)
{
	(void)device;
	*bytes = tmksim_card()->memory_bytes;
	return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, int device)
{
	if (!tmksim_device_exists(device))
		return ERROR_INVALID_DEVICE;
	tmksim_attribute(attribute, device, value);
	return 0;
}

int cuDeviceComputeCapability(int *major, int *minor, int device)
{
	(void)device;
	*major = tmksim_card()->major;
	*minor = tmksim_card()->minor;
	return 0;
}

int cuDeviceGetPCIBusId(char *text, int bytes, int device)
{
	if (!tmksim_device_exists(device))
		return ERROR_INVALID_DEVICE;
	snprintf(text, (size_t)bytes, "0000:%02x:00.0",
	         tmksim_machine_number(device) + 1);
	return 0;
}

int cuDeviceCanAccessPeer(int *can, int device, int peer)
{
	*can = device != peer;
	return 0;
}

int cuCtxEnablePeerAccess(void *context, unsigned flags)
{
	(void)context, (void)flags;
	return 0;
}

int cuPointerGetAttribute(void *value, int attribute, device_pointer pointer)
{
	enum {
		MEMORY_TYPE = 2,
		DEVICE_POINTER = 3,
		HOST_POINTER = 4,
		BUFFER_ID = 7,
		IS_MANAGED = 8,
		ORDINAL = 9,
		RANGE_START = 11,
		RANGE_SIZE = 12,
		MAPPED = 13
	};
	enum { TYPE_HOST = 1, TYPE_DEVICE = 2 };
	struct tmksim_range range = tmksim_find((void *)pointer);
	if (range.kind == TMKSIM_NOTHING)
		return ERROR_INVALID_VALUE;
	int host = range.kind == TMKSIM_PINNED || range.kind == TMKSIM_REGISTERED;
	switch (attribute) {
	case MEMORY_TYPE:
		*(int *)value = host ? TYPE_HOST : TYPE_DEVICE;
		return 0;
	case DEVICE_POINTER:
		*(device_pointer *)value = pointer;
		return 0;
	case HOST_POINTER:
		*(device_pointer *)value = host ? pointer : 0;
		return host || range.kind == TMKSIM_MANAGED ? 0 : ERROR_INVALID_VALUE;
	case BUFFER_ID:
		*(unsigned long long *)value = range.id;
		return 0;
	case IS_MANAGED:
		*(int *)value = range.kind == TMKSIM_MANAGED;
		return 0;
	case ORDINAL:
		*(int *)value = range.device;
		return 0;
	case RANGE_START:
		*(device_pointer *)value = range.at;
		return 0;
	case RANGE_SIZE:
		*(size_t *)value = range.bytes;
		return 0;
	case MAPPED:
		*(int *)value = 1;
		return 0;
	default:
		*(int *)value = 0;
		return 0;
	}
}

int cuPointerSetAttribute(const void *value, int attribute, device_pointer pointer)
{
	(void)value, (void)attribute;
	return tmksim_find((void *)pointer).kind == TMKSIM_NOTHING ? ERROR_INVALID_VALUE
	                                                           : 0;
}
