/* nvml.c - libnvidia-ml.so.1: PyTorch counts devices with it and lists processes in its
 * out-of-memory message. It sees the machine, whatever CUDA_VISIBLE_DEVICES says. A
 * device's handle is its number plus one. */
#include "card.h"
#include "config.h"
#include "memory.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7 };

static int device_of(const void *handle)
{
	return (int)(intptr_t)handle - 1;
}

static int exists(int device)
{
	return device >= 0 && device < tmksim_machine_count();
}

int nvmlInit_v2(void)
{
	return SUCCESS;
}

int nvmlInit(void)
{
	return SUCCESS;
}

int nvmlInitWithFlags(unsigned flags)
{
	(void)flags;
	return SUCCESS;
}

int nvmlShutdown(void)
{
	return SUCCESS;
}

const char *nvmlErrorString(int error)
{
	return error ? "not modelled by the simulated device" : "success";
}

int nvmlSystemGetDriverVersion(char *text, unsigned bytes)
{
	snprintf(text, bytes, "%s", TMKSIM_MAJOR < 13 ? "570.00" : "580.00");
	return SUCCESS;
}

int nvmlSystemGetCudaDriverVersion_v2(int *version)
{
	*version = TMKSIM_MAJOR < 13 ? 12080 : 13000;
	return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
	*count = (unsigned)tmksim_machine_count();
	return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle)
{
	if (!exists((int)index))
		return INVALID_ARGUMENT;
	*handle = (void *)(intptr_t)(index + 1);
	return SUCCESS;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, void **handle)
{
	unsigned bus;
	if (sscanf(bus_id, "%*x:%x:", &bus) != 1 || !exists((int)bus - 1))
		return INVALID_ARGUMENT;
	*handle = (void *)(intptr_t)bus;
	return SUCCESS;
}

int nvmlDeviceGetUUID(void *handle, char *text, unsigned bytes)
{
	tmksim_uuid_text(device_of(handle), text, bytes);
	return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle)
{
	for (int device = 0; device < tmksim_machine_count(); device++) {
		char text[80];
		tmksim_uuid_text(device, text, sizeof(text));
		if (strcmp(text, uuid))
			continue;
		*handle = (void *)(intptr_t)(device + 1);
		return SUCCESS;
	}
	return INVALID_ARGUMENT;
}

int nvmlDeviceGetIndex(void *handle, unsigned *index)
{
	*index = (unsigned)device_of(handle);
	return SUCCESS;
}

int nvmlDeviceGetName(void *handle, char *text, unsigned bytes)
{
	(void)handle;
	snprintf(text, bytes, "%s", tmksim_card()->name);
	return SUCCESS;
}

int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor)
{
	(void)handle;
	*major = tmksim_card()->major;
	*minor = tmksim_card()->minor;
	return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(void *handle, unsigned long long information[3])
{
	information[0] = tmksim_card()->memory_bytes;
	information[2] = tmksim_machine_used(device_of(handle));
	information[1] = information[0] - information[2];
	return SUCCESS;
}

struct memory_v2 { /* nvmlMemory_v2_t */
	unsigned version;
	unsigned long long total, reserved, free, used;
};

int nvmlDeviceGetMemoryInfo_v2(void *handle, struct memory_v2 *memory)
{
	unsigned long long told[3];
	nvmlDeviceGetMemoryInfo(handle, told);
	memory->total = told[0];
	memory->reserved = 0; /* what the driver keeps is not in the card's total */
	memory->free = told[1];
	memory->used = told[2];
	return SUCCESS;
}

struct process_v1 { /* nvmlProcessInfo_v1_t */
	unsigned pid;
	unsigned long long used;
};

struct process_v2 { /* nvmlProcessInfo_v2_t */
	unsigned pid;
	unsigned long long used;
	unsigned instance, compute_instance;
};

/* This process, and the memory that was said to be others' as one that has number 1. */
static unsigned processes_on(int device, struct process_v1 found[2])
{
	unsigned count = 0;
	size_t outside = tmksim_number(TMKSIM_OUTSIDE);
	size_t own = tmksim_machine_used(device) - outside;

	if (own)
		found[count++] = (struct process_v1){(unsigned)getpid(), own};
	if (outside)
		found[count++] = (struct process_v1){1, outside};
	return count;
}

static int room_for(unsigned wanted, unsigned *count)
{
	const unsigned room = *count;
	*count = wanted;
	return room < wanted ? INSUFFICIENT_SIZE : SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses(void *handle, unsigned *count,
                                         struct process_v1 *processes)
{
	struct process_v1 found[2];
	unsigned wanted = processes_on(device_of(handle), found);
	int rc = room_for(wanted, count);
	if (!rc && wanted)
		memcpy(processes, found, wanted * sizeof(*found));
	return rc;
}

int nvmlDeviceGetComputeRunningProcesses_v2(void *handle, unsigned *count,
                                            struct process_v2 *processes)
{
	enum { NO_INSTANCE = 0xFFFFFFFF };
	struct process_v1 found[2];
	unsigned wanted = processes_on(device_of(handle), found);
	int rc = room_for(wanted, count);
	for (unsigned i = 0; !rc && i < wanted; i++)
		processes[i] = (struct process_v2){found[i].pid, found[i].used,
		                                   NO_INSTANCE, NO_INSTANCE};
	return rc;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count,
                                            struct process_v2 *processes)
{
	return nvmlDeviceGetComputeRunningProcesses_v2(handle, count, processes);
}
