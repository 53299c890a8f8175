/* wrap_cuda.c - memory taken from the CUDA runtime.
 * Called from: libc10_cuda (often under the allocator's lock), libtorch, extensions; any
 * thread. Frees are recorded before the real call: the address may be handed out again in
 * between. A failed cudaMalloc is no out-of-memory: the allocator frees its cache and
 * tries again (wrap_c10.c hears the last word). */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "emit.h"
#include "event.h"
#include "real.h"

#define TAKEN TMK_SEGMENT_TAKEN
#define GIVEN TMK_SEGMENT_GIVEN

tmk_cuda_error cudaMalloc(void **ptr, size_t bytes)
{
	if (!tmk_enter())
		return tmk_real.cudaMalloc(ptr, bytes);
	tmk_cuda_error rc = tmk_real.cudaMalloc(ptr, bytes);
	if (!rc && bytes)
		tmk_event_segment(TAKEN, "cudaMalloc", (uintptr_t)*ptr, bytes, 0);
	tmk_leave();
	return rc;
}

tmk_cuda_error cudaFree(void *ptr)
{
	if (!ptr ||
	    !tmk_enter()) /* cudaFree(NULL) makes a context: no memory of ours */
		return tmk_real.cudaFree(ptr);
	tmk_event_segment(GIVEN, "cudaFree", (uintptr_t)ptr, 0, 0);
	tmk_cuda_error rc = tmk_real.cudaFree(ptr);
	tmk_event_sample((uintptr_t)ptr);
	tmk_leave();
	return rc;
}

tmk_cuda_error cudaMallocManaged(void **ptr, size_t bytes, unsigned flags)
{
	if (!tmk_enter())
		return tmk_real.cudaMallocManaged(ptr, bytes, flags);
	tmk_cuda_error rc = tmk_real.cudaMallocManaged(ptr, bytes, flags);
	if (!rc)
		tmk_event_segment(TAKEN, "cudaMallocManaged", (uintptr_t)*ptr, bytes,
		                  0);
	tmk_leave();
	return rc;
}

tmk_cuda_error cudaMallocPitch(void **ptr, size_t *pitch, size_t width, size_t height)
{
	if (!tmk_enter())
		return tmk_real.cudaMallocPitch(ptr, pitch, width, height);
	tmk_cuda_error rc = tmk_real.cudaMallocPitch(ptr, pitch, width, height);
	if (!rc)
		tmk_event_segment(TAKEN, "cudaMallocPitch", (uintptr_t)*ptr,
		                  *pitch * height, 0);
	tmk_leave();
	return rc;
}

tmk_cuda_error cudaMalloc3D(struct tmk_pitched *pitched, struct tmk_extent extent)
{
	if (!tmk_enter())
		return tmk_real.cudaMalloc3D(pitched, extent);
	tmk_cuda_error rc = tmk_real.cudaMalloc3D(pitched, extent);
	if (!rc)
		tmk_event_segment(TAKEN, "cudaMalloc3D", (uintptr_t)pitched->ptr,
		                  pitched->pitch * extent.height * extent.depth, 0);
	tmk_leave();
	return rc;
}

/* ---- stream-ordered: PyTorch's cudaMallocAsync backend -------------------------------- */

/* With that backend each tensor is one call and nothing is reported to the profiler: the
 * call is the allocation. Otherwise somebody else's pool: a segment. */
static bool async_backend(void)
{
	static atomic_int known = -1;
	int cached = atomic_load_explicit(&known, memory_order_relaxed);
	if (cached < 0) {
		const char *a = getenv("PYTORCH_CUDA_ALLOC_CONF");
		const char *b = getenv("PYTORCH_ALLOC_CONF");
		cached = (a && strstr(a, "cudaMallocAsync")) ||
		         (b && strstr(b, "cudaMallocAsync"));
		atomic_store_explicit(&known, cached, memory_order_relaxed);
	}
	return cached;
}

struct pool { /* bytes as the device's pool counts them; used < 0: it does not say */
	long long used, reserved;
	int device;
};

static struct pool pool_now(void)
{
	struct pool p = {-1, 0, tmk_event_device().index};
	tmk_cuda_error (*const get_pool)(tmk_cuda_handle *, int) =
	        tmk_real.cudaDeviceGetMemPool;
	tmk_cuda_error (*const get)(tmk_cuda_handle, int, void *) =
	        tmk_real.cudaMemPoolGetAttribute;
	tmk_cuda_handle h;
	unsigned long long n;
	if (!get_pool || !get || !tmk_event_may_ask())
		return p;
	if (get_pool(&h, p.device)) {
		tmk_event_forget_error();
		return p;
	}
	if (!get(h, TMK_POOL_USED, &n))
		p.used = (long long)n;
	else
		tmk_event_forget_error();
	if (!get(h, TMK_POOL_RESERVED, &n))
		p.reserved = (long long)n;
	else
		tmk_event_forget_error();
	return p;
}

static void async_taken(const char *call, void *ptr, size_t bytes,
                        long long used_before)
{
	if (!async_backend()) {
		tmk_event_segment(TAKEN, call, (uintptr_t)ptr, bytes, 0);
		return;
	}
	struct pool p = pool_now();
	/* What the pool grew by is the block, rounding included. */
	long long grew = p.used - used_before;
	if (p.used < 0 || used_before < 0 || grew < (long long)bytes)
		grew = (long long)bytes;
	tmk_event(ptr, grew, p.used > 0 ? (size_t)p.used : 0, (size_t)p.reserved,
	          (struct tmk_device_id){1, (int8_t)p.device},
	          TMK_EVENT_ASYNC | (p.used < 0 ? TMK_EVENT_NO_TOTAL : 0));
}

static void async_failed(tmk_cuda_error rc, size_t bytes)
{
	enum {
		OUT_OF_MEMORY = 2
	}; /* cudaErrorMemoryAllocation: this backend's last word */
	struct pool p = pool_now();
	if (rc == OUT_OF_MEMORY && async_backend())
		tmk_event_oom((int64_t)bytes, p.used > 0 ? (size_t)p.used : 0,
		              (size_t)p.reserved,
		              (struct tmk_device_id){1, (int8_t)p.device},
		              "cudaMallocAsync");
}

tmk_cuda_error cudaMallocAsync(void **ptr, size_t bytes, tmk_cuda_handle stream)
{
	if (!tmk_enter())
		return tmk_real.cudaMallocAsync(ptr, bytes, stream);
	long long before = async_backend() ? pool_now().used : -1;
	tmk_cuda_error rc = tmk_real.cudaMallocAsync(ptr, bytes, stream);
	if (rc)
		async_failed(rc, bytes);
	else
		async_taken("cudaMallocAsync", *ptr, bytes, before);
	tmk_leave();
	return rc;
}

tmk_cuda_error cudaMallocFromPoolAsync(void **ptr, size_t bytes, tmk_cuda_handle pool,
                                       tmk_cuda_handle stream)
{
	if (!tmk_enter())
		return tmk_real.cudaMallocFromPoolAsync(ptr, bytes, pool, stream);
	tmk_cuda_error rc = tmk_real.cudaMallocFromPoolAsync(ptr, bytes, pool, stream);
	if (!rc)
		tmk_event_segment(TAKEN, "cudaMallocFromPoolAsync", (uintptr_t)*ptr,
		                  bytes, 0);
	tmk_leave();
	return rc;
}

tmk_cuda_error cudaFreeAsync(void *ptr, tmk_cuda_handle stream)
{
	if (!ptr || !tmk_enter())
		return tmk_real.cudaFreeAsync(ptr, stream);
	if (!async_backend())
		tmk_event_segment(GIVEN, "cudaFreeAsync", (uintptr_t)ptr, 0, 0);
	else
		tmk_event(ptr, 0, 0, 0,
		          (struct tmk_device_id){1, (int8_t)pool_now().device},
		          TMK_EVENT_ASYNC | TMK_EVENT_NO_TOTAL);
	tmk_cuda_error rc = tmk_real.cudaFreeAsync(ptr, stream);
	if (!async_backend())
		tmk_event_sample((uintptr_t)ptr);
	tmk_leave();
	return rc;
}

/* ---- pinned host memory --------------------------------------------------------------- */

tmk_cuda_error cudaHostAlloc(void **ptr, size_t bytes, unsigned flags)
{
	if (!tmk_enter())
		return tmk_real.cudaHostAlloc(ptr, bytes, flags);
	tmk_cuda_error rc = tmk_real.cudaHostAlloc(ptr, bytes, flags);
	if (!rc)
		tmk_event_segment(TAKEN, "cudaHostAlloc", (uintptr_t)*ptr, bytes, 1);
	tmk_leave();
	return rc;
}

tmk_cuda_error cudaMallocHost(void **ptr, size_t bytes)
{
	if (!tmk_enter())
		return tmk_real.cudaMallocHost(ptr, bytes);
	tmk_cuda_error rc = tmk_real.cudaMallocHost(ptr, bytes);
	if (!rc)
		tmk_event_segment(TAKEN, "cudaMallocHost", (uintptr_t)*ptr, bytes, 1);
	tmk_leave();
	return rc;
}

tmk_cuda_error cudaFreeHost(void *ptr)
{
	if (!ptr || !tmk_enter())
		return tmk_real.cudaFreeHost(ptr);
	tmk_event_segment(GIVEN, "cudaFreeHost", (uintptr_t)ptr, 0, 1);
	tmk_cuda_error rc = tmk_real.cudaFreeHost(ptr);
	tmk_leave();
	return rc;
}

tmk_cuda_error cudaHostRegister(void *ptr, size_t bytes, unsigned flags)
{
	if (!tmk_enter())
		return tmk_real.cudaHostRegister(ptr, bytes, flags);
	tmk_cuda_error rc = tmk_real.cudaHostRegister(ptr, bytes, flags);
	if (!rc)
		tmk_event_segment(TAKEN, "cudaHostRegister", (uintptr_t)ptr, bytes, 1);
	tmk_leave();
	return rc;
}

tmk_cuda_error cudaHostUnregister(void *ptr)
{
	if (!tmk_enter())
		return tmk_real.cudaHostUnregister(ptr);
	tmk_event_segment(GIVEN, "cudaHostUnregister", (uintptr_t)ptr, 0, 1);
	tmk_cuda_error rc = tmk_real.cudaHostUnregister(ptr);
	tmk_leave();
	return rc;
}
