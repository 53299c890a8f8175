/* ipc.c - see ipc.h. Owns: the list of what this process has opened.
 * Called from: cudart/ipc.c, driver/ipc.c. */
#include "ipc.h"
#include "card.h"
#include "lock.h"
#include "memory.h"
#include "stream.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NOT_IN_ITS_OWN_PROCESS = 201, NO_SUCH_DEVICE = 101 };
static const uint64_t MEMORY = 0x6d656d2d6b6d742aULL, EVENT = 0x6576742d6b6d742aULL;

struct shared {
	uint64_t what; /* MEMORY or EVENT */
	uint64_t at, bytes, id;
	int32_t owner, machine; /* process; the device's number in the machine */
};
_Static_assert(sizeof(struct shared) <= sizeof(struct tmksim_ipc_handle), "it fits");

static struct opened {
	struct shared shared;
	void *at;
	int times;
	struct opened *next;
} * opened;

static void write_handle(struct tmksim_ipc_handle *handle, const struct shared *shared)
{
	memset(handle, 0, sizeof(*handle));
	memcpy(handle, shared, sizeof(*shared));
}

static int read_handle(const struct tmksim_ipc_handle *handle, uint64_t what,
                       struct shared *shared)
{
	memcpy(shared, handle, sizeof(*shared));
	if (shared->what != what || (kill(shared->owner, 0) && errno == ESRCH))
		return TMKSIM_INVALID_HANDLE;
	return shared->owner == getpid() ? NOT_IN_ITS_OWN_PROCESS : 0;
}

int tmksim_ipc_share(struct tmksim_ipc_handle *handle, const void *pointer)
{
	struct tmksim_range range = tmksim_find(pointer);
	if (!handle || range.kind != TMKSIM_DEVICE)
		return TMKSIM_INVALID_VALUE;
	write_handle(handle,
	             &(struct shared){MEMORY, range.at, range.bytes, range.id, getpid(),
	                              tmksim_machine_number(range.device)});
	return 0;
}

static struct opened *find(const struct shared *shared)
{
	struct opened *o = opened;
	while (o && memcmp(&o->shared, shared, sizeof(*shared)))
		o = o->next;
	return o;
}

static int open_first(const struct shared *shared, struct opened **made)
{
	int device = tmksim_device_number(shared->machine);
	if (device < 0)
		return NO_SUCH_DEVICE;
	*made = calloc(1, sizeof(**made));
	if (!*made)
		return TMKSIM_OUT_OF_MEMORY;
	int error = tmksim_allocate(device, shared->bytes, TMKSIM_IMPORTED, false,
	                            &(*made)->at);
	if (error) {
		free(*made);
		return error;
	}
	(*made)->shared = *shared;
	(*made)->next = opened;
	opened = *made;
	return 0;
}

int tmksim_ipc_open(void **pointer, const struct tmksim_ipc_handle *handle)
{
	struct shared shared;
	int error = read_handle(handle, MEMORY, &shared);
	if (error)
		return error;
	tmksim_lock(TMKSIM_LOCK_IPC);
	struct opened *o = find(&shared);
	if (!o)
		error = open_first(&shared, &o);
	if (!error) {
		o->times++;
		*pointer = o->at;
	}
	tmksim_unlock(TMKSIM_LOCK_IPC);
	return error;
}

int tmksim_ipc_close(void *pointer)
{
	int error = TMKSIM_INVALID_VALUE;
	tmksim_lock(TMKSIM_LOCK_IPC);
	for (struct opened **at = &opened; *at && error; at = &(*at)->next) {
		struct opened *o = *at;
		if (o->at != pointer)
			continue;
		error = 0;
		if (--o->times)
			break;
		*at = o->next;
		error = tmksim_free(o->at, TMKSIM_IMPORTED);
		free(o);
		break;
	}
	tmksim_unlock(TMKSIM_LOCK_IPC);
	return error;
}

int tmksim_ipc_share_event(struct tmksim_ipc_handle *handle,
                           const struct tmksim_event *event)
{
	if (!handle || !event || !tmksim_event_interprocess(event))
		return TMKSIM_INVALID_HANDLE;
	write_handle(handle, &(struct shared){.what = EVENT, .owner = getpid()});
	return 0;
}

int tmksim_ipc_open_event(struct tmksim_event **event,
                          const struct tmksim_ipc_handle *handle)
{
	struct shared shared;
	int error = read_handle(handle, EVENT, &shared);
	if (error)
		return error;
	*event = tmksim_event_create(TMKSIM_EVENT_UNTIMED | TMKSIM_EVENT_INTERPROCESS);
	return *event ? 0 : TMKSIM_OUT_OF_MEMORY;
}
