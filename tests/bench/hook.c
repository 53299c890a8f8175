/* hook.c - what the library adds to one allocation event: wrapper, phase, stacks, append.
 *
 * usage: LD_PRELOAD=libtidemark.so TIDEMARK_STACKS=... bench_hook [depth]
 * Events come in bursts that fit a ring, with a pause in which the writer empties it, so
 * that the hook is timed and not the writer. Prints nanoseconds per event, median and
 * least of the bursts, beside a call of the bare function in the same process. */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct device {
	int8_t type, index;
};
typedef void report_fn(void *, int64_t, size_t, size_t, struct device);
report_fn _ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE;
bool _ZN3c1022memoryProfilingEnabledEv(void);

enum { BURST = 4000, BURSTS = 60 };

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static __attribute__((noinline)) void burst(report_fn *report)
{
	for (int i = 0; i < BURST; i += 2) {
		void *p = (void *)(uintptr_t)(0x10000 + 512 * (i % 256));
		report(p, 512, 512, 1 << 21, (struct device){1, 0});
		report(p, -512, 0, 1 << 21, (struct device){1, 0});
	}
}

/* A stack of the asked depth under the event. */
static __attribute__((noinline)) void deep(int depth, report_fn *report)
{
	if (depth)
		deep(depth - 1, report);
	else
		burst(report);
	__asm__ volatile("");
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static void measure(const char *name, int depth, report_fn *report)
{
	double ns[BURSTS];
	for (int i = 0; i < BURSTS; i++) {
		double t = now();
		deep(depth, report);
		ns[i] = (now() - t) / BURST;
		usleep(30000);
	}
	qsort(ns, BURSTS, sizeof(*ns), ascending);
	printf("%-10s least %6.1f  median %6.1f  ns/event\n", name, ns[0],
	       ns[BURSTS / 2]);
}

int main(int argc, char **argv)
{
	int depth = argc > 1 ? atoi(argv[1]) : 25;
	void *c10 = dlopen("libc10.so", RTLD_NOLOAD | RTLD_LAZY);
	report_fn *bare = (report_fn *)dlsym(
	        c10, "_ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE");
	if (!bare)
		return 2;
	_ZN3c1022memoryProfilingEnabledEv();
	measure("bare", depth, bare);
	measure("traced", depth, _ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE);
	return 0;
}
