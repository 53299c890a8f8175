/* visible.c - CUDA_VISIBLE_DEVICES: which of the machine's devices a process sees, in
 * which order.
 * Called from: core/, cudart/, driver/. */
#include "card.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static int seen[TMKSIM_DEVICES], count;
static _Atomic bool started;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The device whose UUID begins so, if there is one only. */
static int by_uuid(const char *text, size_t length)
{
	int found = -1;
	for (int machine = 0; machine < tmksim_machine_count(); machine++) {
		char uuid[64];
		tmksim_uuid_text(machine, uuid, sizeof(uuid));
		if (strncmp(uuid, text, length))
			continue;
		if (found >= 0)
			return -1;
		found = machine;
	}
	return found;
}

/* What follows a number is not looked at. */
static int by_number(const char *text)
{
	char *end;
	long number = strtol(text, &end, 10);
	return end == text || number < 0 || number >= tmksim_machine_count()
	               ? -1
	               : (int)number;
}

/* The list ends at the first entry that names no device; one that names a device twice
 * leaves none. The first entry decides whether all are numbers or UUIDs. */
static void read_list(const char *list)
{
	static const char prefix[] = "GPU-";
	bool uuids = !strncmp(list, prefix, sizeof(prefix) - 1);
	for (const char *entry = list; entry; entry = strchr(entry, ',')) {
		entry += *entry == ',';
		bool uuid = !strncmp(entry, prefix, sizeof(prefix) - 1);
		int machine = uuid != uuids ? -1
		              : uuid        ? by_uuid(entry, strcspn(entry, ","))
		                            : by_number(entry);
		if (machine < 0)
			return;
		for (int i = 0; i < count; i++) {
			if (seen[i] != machine)
				continue;
			count = 0;
			return;
		}
		seen[count++] = machine;
	}
}

static void load(void)
{
	const char *list = getenv("CUDA_VISIBLE_DEVICES");
	started = true;
	if (list) {
		read_list(list);
		return;
	}
	count = tmksim_machine_count();
	for (int i = 0; i < count; i++)
		seen[i] = i;
}

int tmksim_device_count(void)
{
	pthread_once(&once, load);
	return count;
}

bool tmksim_started(void)
{
	return started;
}

bool tmksim_device_exists(int device)
{
	return device >= 0 && device < tmksim_device_count();
}

int tmksim_machine_number(int device)
{
	return tmksim_device_exists(device) ? seen[device] : -1;
}

int tmksim_device_number(int machine)
{
	for (int device = 0; device < tmksim_device_count(); device++)
		if (seen[device] == machine)
			return device;
	return -1;
}
