/* pool.c - stream-ordered allocation: cudaMallocAsync and memory pools.
 * A pool holds memory in steps of 32 MiB and keeps what is freed until it is trimmed or
 * waited for (release threshold). How the driver packs blocks is not published: reserved
 * figures of this allocator are an estimate, used figures are exact. */
#include "cudart.h"
#include "config.h"
#include "lock.h"
#include "memory.h"
#include "stream.h"

#include <stdatomic.h>
#include <stdlib.h>

#define MIB ((size_t)1 << 20)
enum { POOLS = 64 };

struct pool {
	int device;
	size_t used, used_high, reserved, reserved_high;
	uint64_t threshold;
	int reuse[3]; /* follow events, opportunistic, internal dependencies */
};
static struct pool defaults[POOLS];
static struct pool *_Atomic current[POOLS];

__attribute__((constructor)) static void begin(void)
{
	for (int device = 0; device < POOLS; device++)
		defaults[device].device = device;
}

/* Blocks that came from another pool than their device's default one: few programs make
 * pools of their own. */
struct owned {
	void *at;
	struct pool *pool;
};
static struct owned *owned;
static size_t owned_count, owned_room;

static struct pool *default_pool(int device)
{
	return &defaults[device & (POOLS - 1)];
}

static struct pool *current_pool(int device)
{
	struct pool *pool = current[device & (POOLS - 1)];
	return pool ? pool : default_pool(device);
}

static size_t block_bytes(size_t bytes)
{
	return bytes < MIB ? (bytes + 511) / 512 * 512
	                   : (bytes + 2 * MIB - 1) / (2 * MIB) * (2 * MIB);
}

static int grow(struct pool *pool, size_t bytes)
{
	if (pool->used + bytes > pool->reserved) {
		size_t step = 32 * MIB;
		size_t more =
		        (pool->used + bytes - pool->reserved + step - 1) / step * step;
		int error = tmksim_charge(pool->device, more);
		if (error)
			return error;
		pool->reserved += more;
		if (pool->reserved_high < pool->reserved)
			pool->reserved_high = pool->reserved;
	}
	pool->used += bytes;
	if (pool->used_high < pool->used)
		pool->used_high = pool->used;
	return 0;
}

static void remember_owner(void *at, struct pool *pool)
{
	if (pool == default_pool(pool->device))
		return;
	if (owned_count == owned_room) {
		owned_room = owned_room ? 2 * owned_room : 64;
		owned = realloc(owned, owned_room * sizeof(*owned));
		if (!owned)
			tmksim_die("out of host memory");
	}
	owned[owned_count++] = (struct owned){at, pool};
}

static struct pool *owner_of(void *at, int device)
{
	for (size_t i = owned_count; i--;) {
		if (owned[i].at != at)
			continue;
		struct pool *pool = owned[i].pool;
		owned[i] = owned[--owned_count];
		return pool;
	}
	return default_pool(device);
}

int cudaMallocFromPoolAsync(void **pointer, size_t bytes, struct pool *pool,
                            stream_t stream)
{
	*pointer = NULL;
	if (!bytes || !pool)
		return bytes ? cudart_error(ERROR_INVALID_VALUE) : 0;
	tmksim_lock(TMKSIM_LOCK_POOL);
	size_t size = block_bytes(bytes);
	int error = grow(pool, size);
	if (!error) {
		error = tmksim_allocate(pool->device, bytes, TMKSIM_POOLED, false,
		                        pointer);
		if (error)
			pool->used -= size;
		else
			remember_owner(*pointer, pool);
	}
	tmksim_unlock(TMKSIM_LOCK_POOL);
	if (!error)
		tmksim_work(stream);
	return cudart_error(error);
}

int cudaMallocAsync(void **pointer, size_t bytes, stream_t stream)
{
	int device = tmksim_stream_device(stream, cudart_device());
	return cudaMallocFromPoolAsync(pointer, bytes, current_pool(device), stream);
}

int cudaFreeAsync(void *pointer, stream_t stream)
{
	if (!pointer)
		return 0;
	struct tmksim_range range = tmksim_find(pointer);
	if (range.kind == TMKSIM_DEVICE)
		return cudart_error(tmksim_free(pointer, TMKSIM_DEVICE));
	tmksim_lock(TMKSIM_LOCK_POOL);
	int error = tmksim_free(pointer, TMKSIM_POOLED);
	if (!error)
		owner_of(pointer, range.device)->used -= range.bytes;
	tmksim_unlock(TMKSIM_LOCK_POOL);
	if (!error)
		tmksim_work(stream);
	return cudart_error(error);
}

int cudaDeviceGetDefaultMemPool(struct pool **pool, int device)
{
	*pool = default_pool(device);
	return 0;
}

int cudaDeviceGetMemPool(struct pool **pool, int device)
{
	*pool = current_pool(device);
	return 0;
}

int cudaDeviceSetMemPool(int device, struct pool *pool)
{
	current[device & (POOLS - 1)] = pool;
	return 0;
}

int cudaMemPoolCreate(struct pool **pool, const void *properties)
{
	*pool = calloc(1, sizeof(**pool));
	if (!*pool)
		return cudart_error(ERROR_OUT_OF_MEMORY);
	(*pool)->device = ((const int *)properties)[3]; /* location: type, then id */
	return 0;
}

int cudaMemPoolTrimTo(struct pool *pool, size_t keep)
{
	tmksim_lock(TMKSIM_LOCK_POOL);
	size_t least = keep > pool->used ? keep : pool->used;
	if (pool->reserved > least) {
		tmksim_uncharge(pool->device, pool->reserved - least);
		pool->reserved = least;
	}
	tmksim_unlock(TMKSIM_LOCK_POOL);
	return 0;
}

int cudaMemPoolDestroy(struct pool *pool)
{
	if (pool == default_pool(pool->device))
		return cudart_error(ERROR_INVALID_VALUE);
	cudaMemPoolTrimTo(pool, 0);
	struct pool *gone = pool;
	atomic_compare_exchange_strong(&current[pool->device & (POOLS - 1)], &gone,
	                               NULL);
	return 0; /* blocks of it may still live: the object stays */
}

static int get_attribute(const struct pool *pool, int attribute, void *value)
{
	switch (attribute) {
	case 1:
	case 2:
	case 3:
		*(int *)value = pool->reuse[attribute - 1];
		return 0;
	case 4:
		*(uint64_t *)value = pool->threshold;
		return 0;
	case 5:
		*(uint64_t *)value = pool->reserved;
		return 0;
	case 6:
		*(uint64_t *)value = pool->reserved_high;
		return 0;
	case 7:
		*(uint64_t *)value = pool->used;
		return 0;
	case 8:
		*(uint64_t *)value = pool->used_high;
		return 0;
	default:
		return ERROR_INVALID_VALUE;
	}
}

static int set_attribute(struct pool *pool, int attribute, const void *value)
{
	switch (attribute) {
	case 1:
	case 2:
	case 3:
		pool->reuse[attribute - 1] = *(const int *)value;
		return 0;
	case 4:
		pool->threshold = *(const uint64_t *)value;
		return 0;
	case 6:
		pool->reserved_high = pool->reserved;
		return 0;
	case 8:
		pool->used_high = pool->used;
		return 0;
	default:
		return ERROR_INVALID_VALUE;
	}
}

int cudaMemPoolGetAttribute(struct pool *pool, int attribute, void *value)
{
	tmksim_lock(TMKSIM_LOCK_POOL);
	int error = get_attribute(pool, attribute, value);
	tmksim_unlock(TMKSIM_LOCK_POOL);
	return cudart_error(error);
}

int cudaMemPoolSetAttribute(struct pool *pool, int attribute, void *value)
{
	tmksim_lock(TMKSIM_LOCK_POOL);
	int error = set_attribute(pool, attribute, value);
	tmksim_unlock(TMKSIM_LOCK_POOL);
	return cudart_error(error);
}

int cudaMemPoolSetAccess(struct pool *pool, const void *descriptors, size_t count)
{
	(void)pool, (void)descriptors, (void)count;
	return 0;
}

int cudaMemPoolGetAccess(int *flags, struct pool *pool, const void *location)
{
	(void)pool, (void)location;
	*flags = 3; /* read and write */
	return 0;
}
