/* device.c - devices and their properties; the thread's current device.
 * Called from: cudart/. */
#include "cudart.h"
#include "card.h"
#include "memory.h"
#include "stream.h"

#include <stdio.h>
#include <string.h>

static _Thread_local int current;

int cudart_device(void)
{
	return current;
}

static int no_such_device(void)
{
	return cudart_error(tmksim_device_count() ? ERROR_INVALID_DEVICE
	                                          : ERROR_NO_DEVICE);
}

int cudaGetDeviceCount(int *count)
{
	*count = tmksim_device_count();
	return *count ? 0 : cudart_error(ERROR_NO_DEVICE);
}

int cudaGetDevice(int *device)
{
	*device = current;
	return tmksim_device_count() ? 0 : cudart_error(ERROR_NO_DEVICE);
}

int cudaSetDevice(int device)
{
	if (!tmksim_device_exists(device))
		return no_such_device();
	current = device;
	return 0;
}

int cudaInitDevice(int device, unsigned device_flags, unsigned flags)
{
	(void)device_flags, (void)flags;
	if (!tmksim_device_exists(device))
		return no_such_device();
	tmksim_touch_device(device);
	return 0;
}

int cudaDriverGetVersion(int *version)
{
	*version = TMKSIM_MAJOR < 13 ? 12080 : 13000;
	return 0;
}

int cudaRuntimeGetVersion(int *version)
{
	return cudaDriverGetVersion(version);
}

static int fill_properties(char *properties, int device)
{
	if (!tmksim_device_exists(device))
		return no_such_device();
	static const struct {
		short bytes, offset, attribute;
	} fields[] = {
#define FIELD(name, bytes, offset12, offset13, attribute)                              \
	{bytes, TMKSIM_MAJOR < 13 ? offset12 : offset13, attribute},
	        DEVICE_PROPERTIES(FIELD)
#undef FIELD
	};
	memset(properties, 0, PROPERTIES_BYTES);
	snprintf(properties + PROPERTY_NAME, 256, "%s", tmksim_card()->name);
	tmksim_uuid(tmksim_machine_number(device),
	            (unsigned char *)properties + PROPERTY_UUID);
	memcpy(properties + PROPERTY_MEMORY, &tmksim_card()->memory_bytes,
	       sizeof(size_t));
	for (unsigned i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		int value;
		tmksim_attribute(fields[i].attribute, device, &value);
		memcpy(properties + fields[i].offset, &value, sizeof(value));
	}
	return 0;
}

int cudaGetDeviceProperties(void *properties, int device)
{
	return fill_properties(properties, device);
}

int cudaGetDeviceProperties_v2(void *properties, int device)
{
	return fill_properties(properties, device);
}

int cudaDeviceGetAttribute(int *value, int attribute, int device)
{
	if (!tmksim_device_exists(device))
		return no_such_device();
	tmksim_attribute(attribute, device, value);
	return 0;
}

int cudaDeviceGetPCIBusId(char *text, int bytes, int device)
{
	if (!tmksim_device_exists(device))
		return no_such_device();
	snprintf(text, (size_t)bytes, "0000:%02x:00.0",
	         tmksim_machine_number(device) + 1);
	return 0;
}

int cudaDeviceGetByPCIBusId(int *device, const char *text)
{
	unsigned bus;
	if (sscanf(text, "%*x:%x:", &bus) != 1)
		return no_such_device();
	*device = tmksim_device_number((int)bus - 1);
	return *device < 0 ? no_such_device() : 0;
}

int cudaDeviceCanAccessPeer(int *can, int device, int peer)
{
	*can = device != peer && tmksim_device_exists(device) &&
	       tmksim_device_exists(peer);
	return 0;
}

static _Thread_local uint64_t peers[64]; /* peers that this thread enabled, by device */

int cudaDeviceEnablePeerAccess(int peer, unsigned flags)
{
	(void)flags;
	if (!tmksim_device_exists(peer) || peer == current)
		return no_such_device();
	if (peers[current & 63] >> peer & 1)
		return cudart_error(ERROR_PEER_ENABLED);
	peers[current & 63] |= 1ull << peer;
	return 0;
}

int cudaDeviceDisablePeerAccess(int peer)
{
	if (!tmksim_device_exists(peer) || !(peers[current & 63] >> peer & 1))
		return cudart_error(ERROR_PEER_NOT_ENABLED);
	peers[current & 63] &= ~(1ull << peer);
	return 0;
}

int cudaDeviceGetP2PAttribute(int *value, int attribute, int device, int peer)
{
	(void)device, (void)peer;
	*value = attribute == 2; /* access works; no native atomics, no rank */
	return 0;
}

int cudaDeviceSynchronize(void)
{
	tmksim_touch_device(current);
	return cudart_error(tmksim_device_wait());
}

int cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
	if (least)
		*least = 0;
	if (greatest)
		*greatest = -5;
	return 0;
}

int cudaDeviceReset(void)
{
	return 0;
}

int cudaDeviceSetLimit(int limit, size_t value)
{
	(void)limit, (void)value;
	return 0;
}

int cudaDeviceGetLimit(size_t *value, int limit)
{
	/* stack, printf buffer, malloc heap: the driver's defaults */
	static const size_t defaults[] = {1024, 1 << 20, 8 << 20};
	*value = limit >= 0 && limit < 3 ? defaults[limit] : 0;
	return 0;
}

int cudaSetDeviceFlags(unsigned flags)
{
	(void)flags;
	return 0;
}

int cudaGetDeviceFlags(unsigned *flags)
{
	*flags = 8; /* mapped host memory is always on */
	return 0;
}

int cudaProfilerStart(void)
{
	return 0;
}

int cudaProfilerStop(void)
{
	return 0;
}
