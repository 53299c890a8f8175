/* wrap_driver.c - the driver's own allocations, and the way to expandable segments.
 *
 * Those never touch cudaMalloc: libc10_cuda asks for cuMemCreate and its kin by name and
 * calls what it got. From 2.8 it asks cudaGetDriverEntryPoint[ByVersion], so we answer with
 * wrappers of our own; 2.3 to 2.7 fill c10::cuda::DriverAPI by dlsym, so we replace the
 * slots that hold the driver's addresses (found by value: the struct's layout is nobody's
 * business). 2.1 and 2.2 do neither; there the reserved total of the reports has to do.
 * Called from: torch, on any thread; process.c in a forked child. */
#include <dlfcn.h>
#include <stdatomic.h>
#include <string.h>

#include "emit.h"
#include "event.h"
#include "real.h"

typedef unsigned long long handle;
/* What PyTorch really calls: the driver's function, or whatever it was handed. */
static tmk_cuda_error (*_Atomic create)(handle *, size_t, const void *,
                                        unsigned long long);
static tmk_cuda_error (*_Atomic map)(handle, size_t, size_t, handle,
                                     unsigned long long);
static tmk_cuda_error (*_Atomic release)(handle);

/* The properties say the device, whichever is the current one. */
static void note_created(handle h, size_t bytes, const void *properties)
{
	const struct tmk_allocation *p = properties;
	tmk_event_segment_on(p->location == TMK_ON_DEVICE ? p->device : -1,
	                     "cuMemCreate", h, bytes);
}

/* Memory made by cuMemCreate gets its address here: an expandable segment is such pieces
 * side by side. */
static void note_map(tmk_cuda_error rc, handle address, size_t offset, handle h)
{
	if (rc || offset || !tmk_enter())
		return;
	tmk_event_segment(TMK_SEGMENT_MAPPED, "cuMemMap", h, address, 0);
	tmk_leave();
}

static tmk_cuda_error our_create(handle *h, size_t bytes, const void *properties,
                                 unsigned long long flags)
{
	if (!tmk_enter())
		return create(h, bytes, properties, flags);
	tmk_cuda_error rc = create(h, bytes, properties, flags);
	if (!rc)
		note_created(*h, bytes, properties);
	tmk_leave();
	return rc;
}

static tmk_cuda_error our_map(handle address, size_t bytes, size_t offset, handle h,
                              unsigned long long flags)
{
	tmk_cuda_error rc = map(address, bytes, offset, h, flags);
	note_map(rc, address, offset, h);
	return rc;
}

static tmk_cuda_error our_release(handle h)
{
	if (!tmk_enter())
		return release(h);
	tmk_event_segment(TMK_SEGMENT_GIVEN, "cuMemRelease", h, 0, 0);
	tmk_cuda_error rc = release(h);
	tmk_event_sample(h);
	tmk_leave();
	return rc;
}

static const struct {
	const char *name;
	void *ours;
	_Atomic(void *) *theirs;
} swaps[] = {
        {"cuMemCreate", (void *)our_create, (_Atomic(void *) *)(void *)&create},
        {"cuMemMap", (void *)our_map, (_Atomic(void *) *)(void *)&map},
        {"cuMemRelease", (void *)our_release, (_Atomic(void *) *)(void *)&release},
};
enum { SWAPS = sizeof(swaps) / sizeof(*swaps) };

static void swap_entry(const char *name, void **function)
{
	for (int i = 0; function && *function && i < SWAPS; i++)
		if (!strcmp(name, swaps[i].name) && *function != swaps[i].ours &&
		    *function != (void *)cuMemCreate && *function != (void *)cuMemMap &&
		    *function != (void *)cuMemRelease) {
			atomic_store(swaps[i].theirs, *function);
			*function = swaps[i].ours;
		}
}

tmk_cuda_error cudaGetDriverEntryPoint(const char *name, void **function,
                                       unsigned long long flags, void *status)
{
	tmk_cuda_error rc =
	        tmk_real.cudaGetDriverEntryPoint(name, function, flags, status);
	if (!rc)
		swap_entry(name, function);
	return rc;
}

tmk_cuda_error cudaGetDriverEntryPointByVersion(const char *name, void **function,
                                                unsigned version,
                                                unsigned long long flags, void *status)
{
	tmk_cuda_error rc = tmk_real.cudaGetDriverEntryPointByVersion(
	        name, function, version, flags, status);
	if (!rc)
		swap_entry(name, function);
	return rc;
}

static atomic_int slots_swapped; /* 1 in progress, 2 done */

void tmk_driver_forked(void)
{
	int begun =
	        1; /* by a thread that is not here; those that it has swapped stay */
	atomic_compare_exchange_strong(&slots_swapped, &begun, 0);
}

void **_ZN3c104cuda9DriverAPI3getEv(void)
{
	void **slots = tmk_real.driver_api();
	int no = 0;
	if (!slots || !atomic_compare_exchange_strong(&slots_swapped, &no, 1))
		return slots;
	void *driver = dlopen("libcuda.so.1", RTLD_NOLOAD | RTLD_LAZY);
	/* The struct is a row of function pointers, 17 of them in 2.3: look at no more. */
	for (int i = 0; driver && i < SWAPS; i++) {
		void *theirs = dlsym(driver, swaps[i].name);
		for (int j = 0; theirs && j < 17; j++)
			if (slots[j] == theirs)
				swap_entry(swaps[i].name, &slots[j]);
	}
	if (driver)
		dlclose(driver);
	atomic_store(&slots_swapped, 2);
	return slots;
}

/* ---- programs that link libcuda themselves -------------------------------------------- */

tmk_cuda_error cuMemAlloc_v2(handle *ptr, size_t bytes)
{
	if (!tmk_enter())
		return tmk_real.cuMemAlloc(ptr, bytes);
	tmk_cuda_error rc = tmk_real.cuMemAlloc(ptr, bytes);
	if (!rc)
		tmk_event_segment(TMK_SEGMENT_TAKEN, "cuMemAlloc", *ptr, bytes, 0);
	tmk_leave();
	return rc;
}

tmk_cuda_error cuMemAllocPitch_v2(handle *ptr, size_t *pitch, size_t width,
                                  size_t height, unsigned element)
{
	if (!tmk_enter())
		return tmk_real.cuMemAllocPitch(ptr, pitch, width, height, element);
	tmk_cuda_error rc =
	        tmk_real.cuMemAllocPitch(ptr, pitch, width, height, element);
	if (!rc)
		tmk_event_segment(TMK_SEGMENT_TAKEN, "cuMemAllocPitch", *ptr,
		                  *pitch * height, 0);
	tmk_leave();
	return rc;
}

tmk_cuda_error cuMemAllocManaged(handle *ptr, size_t bytes, unsigned flags)
{
	if (!tmk_enter())
		return tmk_real.cuMemAllocManaged(ptr, bytes, flags);
	tmk_cuda_error rc = tmk_real.cuMemAllocManaged(ptr, bytes, flags);
	if (!rc)
		tmk_event_segment(TMK_SEGMENT_TAKEN, "cuMemAllocManaged", *ptr, bytes,
		                  0);
	tmk_leave();
	return rc;
}

tmk_cuda_error cuMemFree_v2(handle ptr)
{
	if (!ptr || !tmk_enter())
		return tmk_real.cuMemFree(ptr);
	tmk_event_segment(TMK_SEGMENT_GIVEN, "cuMemFree", ptr, 0, 0);
	tmk_cuda_error rc = tmk_real.cuMemFree(ptr);
	tmk_event_sample(ptr);
	tmk_leave();
	return rc;
}

tmk_cuda_error cuMemHostAlloc(void **ptr, size_t bytes, unsigned flags)
{
	if (!tmk_enter())
		return tmk_real.cuMemHostAlloc(ptr, bytes, flags);
	tmk_cuda_error rc = tmk_real.cuMemHostAlloc(ptr, bytes, flags);
	if (!rc)
		tmk_event_segment(TMK_SEGMENT_TAKEN, "cuMemHostAlloc", (uintptr_t)*ptr,
		                  bytes, 1);
	tmk_leave();
	return rc;
}

tmk_cuda_error cuMemFreeHost(void *ptr)
{
	if (!ptr || !tmk_enter())
		return tmk_real.cuMemFreeHost(ptr);
	tmk_event_segment(TMK_SEGMENT_GIVEN, "cuMemFreeHost", (uintptr_t)ptr, 0, 1);
	tmk_cuda_error rc = tmk_real.cuMemFreeHost(ptr);
	tmk_leave();
	return rc;
}

tmk_cuda_error cuMemCreate(handle *h, size_t bytes, const void *properties,
                           unsigned long long flags)
{
	if (!tmk_enter())
		return tmk_real.cuMemCreate(h, bytes, properties, flags);
	tmk_cuda_error rc = tmk_real.cuMemCreate(h, bytes, properties, flags);
	if (!rc)
		note_created(*h, bytes, properties);
	tmk_leave();
	return rc;
}

tmk_cuda_error cuMemMap(handle address, size_t bytes, size_t offset, handle h,
                        unsigned long long flags)
{
	tmk_cuda_error rc = tmk_real.cuMemMap(address, bytes, offset, h, flags);
	note_map(rc, address, offset, h);
	return rc;
}

tmk_cuda_error cuMemRelease(handle h)
{
	if (!tmk_enter())
		return tmk_real.cuMemRelease(h);
	tmk_event_segment(TMK_SEGMENT_GIVEN, "cuMemRelease", h, 0, 0);
	tmk_cuda_error rc = tmk_real.cuMemRelease(h);
	tmk_event_sample(h);
	tmk_leave();
	return rc;
}

/* ---- NCCL's own pool ------------------------------------------------------------------ */

tmk_cuda_error ncclMemAlloc(void **ptr, size_t bytes)
{
	if (!tmk_enter())
		return tmk_real.ncclMemAlloc(ptr, bytes);
	tmk_cuda_error rc = tmk_real.ncclMemAlloc(ptr, bytes);
	if (!rc)
		tmk_event_segment(TMK_SEGMENT_TAKEN, "ncclMemAlloc", (uintptr_t)*ptr,
		                  bytes, 0);
	tmk_leave();
	return rc;
}

tmk_cuda_error ncclMemFree(void *ptr)
{
	if (!ptr || !tmk_enter())
		return tmk_real.ncclMemFree(ptr);
	tmk_event_segment(TMK_SEGMENT_GIVEN, "ncclMemFree", (uintptr_t)ptr, 0, 0);
	tmk_cuda_error rc = tmk_real.ncclMemFree(ptr);
	tmk_event_sample((uintptr_t)ptr);
	tmk_leave();
	return rc;
}
