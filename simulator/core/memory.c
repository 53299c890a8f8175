/* memory.c - what is allocated where, and what each device has left.
 * Any thread. Owns: the table of ranges, sorted by address, and the devices' accounts.
 * Called from: core/, cudart/, driver/, libraries/. */
#include "memory.h"
#include "card.h"
#include "config.h"
#include "lock.h"
#include "space.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096 };
#define MIB             ((size_t)1 << 20)
#define ROUND_UP(n, to) (((n) + (to)-1) / (to) * (to))

static struct tmksim_range *ranges;
static size_t range_count, range_room;
static unsigned long long next_id;
static struct {
	size_t used, peak;
	size_t small_used,
	        small_chunks; /* allocations below 1 MiB share 2 MiB chunks */
	_Atomic bool touched;
} devices[TMKSIM_DEVICES];

/* The first range that begins after `at`. */
static size_t range_after(uintptr_t at)
{
	size_t low = 0, high = range_count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (ranges[middle].at <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct tmksim_range *range_at(uintptr_t at)
{
	size_t i = range_after(at);
	if (!i || at - ranges[i - 1].at >= ranges[i - 1].bytes)
		return NULL;
	return &ranges[i - 1];
}

static void add_range(struct tmksim_range range)
{
	if (range_count == range_room) {
		range_room = range_room ? 2 * range_room : 1024;
		ranges = realloc(ranges, range_room * sizeof(*ranges));
		if (!ranges)
			tmksim_die("out of host memory");
	}
	size_t i = range_after(range.at);
	memmove(ranges + i + 1, ranges + i, (range_count - i) * sizeof(*ranges));
	range.id = ++next_id;
	ranges[i] = range;
	range_count++;
}

static void remove_range(struct tmksim_range *range)
{
	range_count--;
	memmove(range, range + 1,
	        (size_t)(ranges + range_count - range) * sizeof(*range));
}

static int charge(int device, size_t bytes)
{
	if (!tmksim_device_exists(device))
		return TMKSIM_NO_DEVICE;
	if (bytes > tmksim_card()->memory_bytes - devices[device].used)
		return TMKSIM_OUT_OF_MEMORY;
	devices[device].used += bytes;
	if (devices[device].peak < devices[device].used)
		devices[device].peak = devices[device].used;
	return 0;
}

static void touch(int device)
{
	if (!tmksim_device_exists(device) || devices[device].touched)
		return;
	devices[device].touched = true;
	if (charge(device,
	           tmksim_number(TMKSIM_OUTSIDE) + tmksim_card()->context_bytes))
		tmksim_die("a context does not fit into the device's memory");
}

/* Small allocations are cut from 2 MiB chunks, as the driver does: the device's free
 * memory moves by whole chunks. Chunks are counted, not placed. */
static int charge_small(int device, size_t bytes)
{
	size_t chunks =
	        ROUND_UP(devices[device].small_used + bytes, 2 * MIB) / (2 * MIB);
	if (chunks > devices[device].small_chunks) {
		size_t more = chunks - devices[device].small_chunks;
		if (charge(device, more * 2 * MIB))
			return TMKSIM_OUT_OF_MEMORY;
		devices[device].small_chunks = chunks;
	}
	devices[device].small_used += bytes;
	return 0;
}

static void uncharge_small(int device, size_t bytes)
{
	devices[device].small_used -= bytes;
	size_t chunks = ROUND_UP(devices[device].small_used, 2 * MIB) / (2 * MIB);
	devices[device].used -= (devices[device].small_chunks - chunks) * 2 * MIB;
	devices[device].small_chunks = chunks;
}

int tmksim_allocate(int device, size_t bytes, enum tmksim_kind kind, bool charged,
                    void **at)
{
	*at = NULL;
	if (!bytes)
		return 0;
	if (!tmksim_device_exists(device))
		return TMKSIM_NO_DEVICE;
	if (bytes > (size_t)1 << 46)
		return TMKSIM_OUT_OF_MEMORY;
	bool small = bytes < MIB;
	size_t size = ROUND_UP(bytes, small ? 512 : 2 * MIB);
	tmksim_lock(TMKSIM_LOCK_MEMORY);
	touch(device);
	int error = 0;
	if (charged)
		error = small ? charge_small(device, size) : charge(device, size);
	uintptr_t found = error ? 0 : tmksim_space_take(size, small ? 512 : 2 * MIB);
	if (found) {
		*at = (void *)found;
		add_range((struct tmksim_range){found, size, charged ? size : 0, kind,
		                                device});
	} else if (!error) {
		error = TMKSIM_OUT_OF_MEMORY;
	}
	tmksim_unlock(TMKSIM_LOCK_MEMORY);
	return error;
}

int tmksim_free(void *at, enum tmksim_kind kind)
{
	if (!at)
		return 0;
	tmksim_lock(TMKSIM_LOCK_MEMORY);
	struct tmksim_range *range = range_at((uintptr_t)at), gone = {0};
	if (range && range->at == (uintptr_t)at && range->kind == kind) {
		gone = *range;
		remove_range(range);
		if (gone.charged && gone.bytes < MIB)
			uncharge_small(gone.device, gone.charged);
		else
			devices[gone.device].used -= gone.charged;
		tmksim_forget_pages(at, gone.bytes);
		tmksim_space_give(gone.at, gone.bytes);
	}
	tmksim_unlock(TMKSIM_LOCK_MEMORY);
	return gone.bytes ? 0 : TMKSIM_INVALID_VALUE;
}

int tmksim_pin(size_t bytes, void **at)
{
	size_t size = ROUND_UP(bytes ? bytes : 1, PAGE);
	*at = mmap(NULL, size, PROT_READ | PROT_WRITE,
	           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (*at == MAP_FAILED) {
		*at = NULL;
		return TMKSIM_OUT_OF_MEMORY;
	}
	tmksim_lock(TMKSIM_LOCK_MEMORY);
	add_range((struct tmksim_range){(uintptr_t)*at, size, 0, TMKSIM_PINNED, 0});
	tmksim_unlock(TMKSIM_LOCK_MEMORY);
	return 0;
}

/* Takes a host range out of the table; 0 bytes if it is none. */
static size_t drop_host_range(void *at, enum tmksim_kind kind)
{
	size_t bytes = 0;
	tmksim_lock(TMKSIM_LOCK_MEMORY);
	struct tmksim_range *range = range_at((uintptr_t)at);
	if (range && range->at == (uintptr_t)at && range->kind == kind) {
		bytes = range->bytes;
		remove_range(range);
	}
	tmksim_unlock(TMKSIM_LOCK_MEMORY);
	return bytes;
}

int tmksim_unpin(void *at)
{
	if (!at)
		return 0;
	size_t bytes = drop_host_range(at, TMKSIM_PINNED);
	if (!bytes)
		return TMKSIM_INVALID_VALUE;
	munmap(at, bytes);
	return 0;
}

int tmksim_register(void *at, size_t bytes)
{
	if (!at || !bytes)
		return TMKSIM_INVALID_VALUE;
	tmksim_lock(TMKSIM_LOCK_MEMORY);
	bool taken = range_at((uintptr_t)at) != NULL;
	if (!taken)
		add_range((struct tmksim_range){(uintptr_t)at, bytes, 0,
		                                TMKSIM_REGISTERED, 0});
	tmksim_unlock(TMKSIM_LOCK_MEMORY);
	return taken ? 712 /* already registered */ : 0;
}

int tmksim_unregister(void *at)
{
	return drop_host_range(at, TMKSIM_REGISTERED) ? 0 : 713 /* not registered */;
}

struct tmksim_range tmksim_find(const void *pointer)
{
	tmksim_lock(TMKSIM_LOCK_MEMORY);
	struct tmksim_range *range = range_at((uintptr_t)pointer);
	struct tmksim_range copy = range ? *range : (struct tmksim_range){0};
	tmksim_unlock(TMKSIM_LOCK_MEMORY);
	return copy;
}

bool tmksim_on_device(const void *pointer)
{
	return tmksim_space_holds((uintptr_t)pointer);
}

int tmksim_charge(int device, size_t bytes)
{
	tmksim_lock(TMKSIM_LOCK_MEMORY);
	touch(device);
	int error = charge(device, bytes);
	tmksim_unlock(TMKSIM_LOCK_MEMORY);
	return error;
}

void tmksim_uncharge(int device, size_t bytes)
{
	tmksim_lock(TMKSIM_LOCK_MEMORY);
	devices[device].used -= bytes;
	tmksim_unlock(TMKSIM_LOCK_MEMORY);
}

void tmksim_touch_device(int device)
{
	tmksim_lock(TMKSIM_LOCK_MEMORY);
	touch(device);
	tmksim_unlock(TMKSIM_LOCK_MEMORY);
}

bool tmksim_device_touched(int device)
{
	return device >= 0 && device < TMKSIM_DEVICES && devices[device].touched;
}

void tmksim_memory_info(int device, size_t *free_bytes, size_t *total_bytes)
{
	tmksim_lock(TMKSIM_LOCK_MEMORY);
	touch(device);
	*total_bytes = tmksim_card()->memory_bytes;
	*free_bytes = *total_bytes - devices[device].used;
	tmksim_unlock(TMKSIM_LOCK_MEMORY);
}

size_t tmksim_machine_used(int machine)
{
	size_t used = tmksim_number(TMKSIM_OUTSIDE);
	tmksim_lock(TMKSIM_LOCK_MEMORY);
	/* what nobody has touched is not asked for: its number is the process' own matter,
	 * which it may still set */
	for (int device = 0; device < TMKSIM_DEVICES; device++)
		if (devices[device].touched && tmksim_machine_number(device) == machine)
			used = devices[device].used;
	tmksim_unlock(TMKSIM_LOCK_MEMORY);
	return used;
}

size_t tmksim_peak_bytes(int device)
{
	tmksim_lock(TMKSIM_LOCK_MEMORY);
	size_t peak = devices[device].peak;
	tmksim_unlock(TMKSIM_LOCK_MEMORY);
	return peak;
}

void tmksim_forget_pages(void *at, size_t bytes)
{
	uintptr_t from = ROUND_UP((uintptr_t)at, PAGE),
	          to = ((uintptr_t)at + bytes) / PAGE * PAGE;
	if (from >= to) {
		memset(at, 0, bytes);
		return;
	}
	memset(at, 0, from - (uintptr_t)at);
	madvise((void *)from, to - from, MADV_DONTNEED);
	memset((void *)to, 0, (uintptr_t)at + bytes - to);
}
