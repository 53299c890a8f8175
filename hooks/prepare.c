/* prepare.c - preparation at the first torch call outside any lock.
 * Called from: memoryProfilingEnabled (the first CPU tensor), empty_generic, the engine;
 * any thread, Python's GIL held or not. */
#include "prepare.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "emit.h"
#include "enrich.h"
#include "gradmode.h"
#include "hot.h"
#include "latch.h"
#include "phase.h"
#include "provider.h"
#include "real.h"
#include "settings.h"
#include "stacks.h"

static TMK_HOT_DATA atomic_int ready; /* 1 in progress, 2 done */

/* Has this machine a CUDA device that torch could use? Answered without a CUDA call: one
 * would initialise the driver here, and CUDA in forked children would be broken. */
static bool cuda_device_exists(void)
{
	const char *visible = getenv("CUDA_VISIBLE_DEVICES");
	if (visible && (!*visible || *visible == '-'))
		return false;
	return !access("/dev/nvidiactl", F_OK) || !access("/dev/nvidia0", F_OK) ||
	       !access("/dev/dxg", F_OK) ||           /* Windows' Linux */
	       dlsym(RTLD_DEFAULT, "cuInit") != NULL; /* a driver, or a simulated one */
}

static TMK_HOT_DATA _Atomic int cpu_traced = -1;

TMK_HOT bool tmk_traces_cpu(void)
{
	int c = atomic_load_explicit(&cpu_traced, memory_order_relaxed);
	if (c < 0) {
		char path[4096];
		c = tmk_settings.cpu ||
		    !tmk_library_path(TMK_LIB_C10_CUDA, path, sizeof(path)) ||
		    !cuda_device_exists();
		if (atomic_load(&tmk_state) == TMK_DISABLED)
			c = 0;
		atomic_store(&cpu_traced, c);
	}
	return c;
}

void tmk_prepare(void)
{
	if (__builtin_expect(atomic_load_explicit(&ready, memory_order_acquire) == 2,
	                     1))
		return;
	int no = 0;
	if (!TMK_FOUND(report) || !TMK_FOUND(profiling_enabled))
		tmk_resolve(TMK_LIB_C10);
	if (!tmk_resolve(
	            TMK_LIB_CPU)) /* libc10 alone is there while torch is loading */
		return;
	if (!atomic_compare_exchange_strong(&ready, &no, 1))
		return;
	tmk_latch(TMK_LATCH_PREPARE);
	tmk_resolve(TMK_LIB_CUDART);
	tmk_resolve(TMK_LIB_C10_CUDA);
	tmk_resolve(TMK_LIB_CUDA);
	tmk_resolve(TMK_LIB_NCCL);
	tmk_resolve(TMK_LIB_LIBC);
	char path[4096];
	if (!TMK_FOUND(report) && atomic_load(&tmk_state) != TMK_DISABLED &&
	    tmk_library_path(TMK_LIB_C10, path, sizeof(path))) {
		tmk_say("PyTorch before 1.10 does not report its allocations; this "
		        "program is not traced");
		atomic_store(&tmk_state, TMK_DISABLED);
	}
	if (atomic_load(&tmk_state) != TMK_DISABLED) {
		tmk_gradmode_find();
		tmk_phase_install();
		tmk_enrich_prepare();
	}
	tmk_resolved_publish();
	atomic_store_explicit(&ready, 2, memory_order_release);
	tmk_unlatch(TMK_LATCH_PREPARE);
}

/* Torch's account of CPU memory, which it keeps because we say yes in memoryProfilingEnabled:
 * c10::ProfiledCPUMemoryReporter begins with its mutex. A child would wait for it for ever. */
static __thread pthread_mutex_t *reporter __attribute__((tls_model("initial-exec")));
static __thread bool reporter_lost __attribute__((tls_model("initial-exec")));

static bool take_reporter(pthread_mutex_t *m)
{
	const struct timespec nap = {.tv_nsec = 50000};
	enum { A_SECOND = 10000 }; /* in naps, with the kernel's slack */
	for (int i = 0; i < A_SECOND; i++) {
		if (!pthread_mutex_trylock(m))
			return true;
		nanosleep(&nap, NULL);
	}
	return false;
}

void tmk_prepare_before_fork(void)
{
	reporter = NULL;
	reporter_lost = false;
	if (atomic_load(&cpu_traced) != 1 || !tmk_real.cpu_reporter)
		return;
	pthread_mutex_t *m = tmk_real.cpu_reporter();
	if (take_reporter(m))
		reporter = m;
	else
		reporter_lost = true;
}

void tmk_prepare_after_fork(void)
{
	if (reporter)
		pthread_mutex_unlock(reporter);
	reporter = NULL;
}

void tmk_prepare_forked(void)
{
	tmk_prepare_after_fork();
	if (reporter_lost)
		atomic_store(&cpu_traced, 0);
	int begun = 1; /* by a thread that is not here: it is done again */
	atomic_compare_exchange_strong(&ready, &begun, 0);
}
