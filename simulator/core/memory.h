/* memory.h - the simulated machine's memory: address space that nothing backs until it
 * is touched. Any thread may call; one mutex inside, never held while calling out.
 * Functions return 0 or a CUDA error number, the same for runtime and driver. */
#ifndef TIDEMARK_SIMULATOR_MEMORY_H
#define TIDEMARK_SIMULATOR_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TMKSIM_SUCCESS = 0,
	TMKSIM_INVALID_VALUE = 1,
	TMKSIM_OUT_OF_MEMORY = 2,
	TMKSIM_NO_DEVICE = 100,
};

enum tmksim_kind {
	TMKSIM_NOTHING,    /* no range of ours */
	TMKSIM_DEVICE,     /* cudaMalloc */
	TMKSIM_POOLED,     /* cudaMallocAsync */
	TMKSIM_MANAGED,    /* cudaMallocManaged */
	TMKSIM_IMPORTED,   /* another process' memory, by its handle */
	TMKSIM_RESERVED,   /* addresses from cuMemAddressReserve */
	TMKSIM_PINNED,     /* cudaHostAlloc */
	TMKSIM_REGISTERED, /* cudaHostRegister: the caller's own memory */
};

struct tmksim_range {
	uintptr_t at;
	size_t bytes;   /* a multiple of the granularity */
	size_t charged; /* to the device */
	enum tmksim_kind kind;
	int device;
	unsigned long long id; /* unique in the process, as CUDA's buffer id */
};

/* Device memory; size 0 gives NULL. `charge` false: the caller has charged already. */
int tmksim_allocate(int device, size_t bytes, enum tmksim_kind kind, bool charge,
                    void **at);
int tmksim_free(void *at, enum tmksim_kind kind);

/* Pinned memory of ours, and registration of the caller's. */
int tmksim_pin(size_t bytes, void **at);
int tmksim_unpin(void *at);
int tmksim_register(void *at, size_t bytes);
int tmksim_unregister(void *at);

/* The range that holds a pointer; kind TMKSIM_NOTHING if none does. */
struct tmksim_range tmksim_find(const void *pointer);

/* True if a pointer lies in memory of some device; costs two comparisons. */
bool tmksim_on_device(const void *pointer);

/* Bytes held on a device beyond what has an address. Charging fails at the card's size. */
int tmksim_charge(int device, size_t bytes);
void tmksim_uncharge(int device, size_t bytes);

/* A device's first use: the context takes its bytes. */
void tmksim_touch_device(int device);
bool tmksim_device_touched(int device);
void tmksim_memory_info(int device, size_t *free_bytes, size_t *total_bytes);
/* What is used of one of the machine's devices. Looking is no use of it. */
size_t tmksim_machine_used(int machine);
size_t tmksim_peak_bytes(int device);

/* Forgets the pages in a stretch of device memory: it then reads as zero. */
void tmksim_forget_pages(void *at, size_t bytes);

#endif
