/* clock.h - a time stamp that costs less than what it stamps. clock_gettime is as dear as
 * a short stack (20 ns and more), so the hook reads the time-stamp counter and the writer
 * turns ticks into nanoseconds (writer.c calibrates). */
#ifndef TIDEMARK_TRACER_CLOCK_H
#define TIDEMARK_TRACER_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <x86intrin.h>

/* False where the counter may stop or change pace: then a tick is a nanosecond of
 * CLOCK_MONOTONIC. Set once, before the first tick. */
extern bool tmk_clock_invariant;

void tmk_clock_init(void);

static inline uint64_t tmk_clock_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t tmk_tick(void)
{
	return tmk_clock_invariant ? __rdtsc() : tmk_clock_ns();
}

#endif
