/* pace.c - short pauses at the points where a real device would make the host wait.
 * PyTorch has given up the interpreter lock at each of them.
 * Called from: libraries/watchdog.c, stream.c. */
#include "pace.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

void (*_Atomic tmksim_wake_watchdogs)(void);

static void pause_for(long microseconds)
{
	nanosleep(&(struct timespec){0, microseconds * 1000}, NULL);
}

void tmksim_pace_wait(void)
{
	pause_for(50);
}

uint64_t tmksim_now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void tmksim_pace_until(uint64_t ns)
{
	struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

static uint64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void tmksim_pace_work(void)
{
	static _Atomic uintptr_t last_thread;
	static _Atomic uint64_t last_pause;
	static _Thread_local char here;
	if (last_thread == (uintptr_t)&here)
		return;
	uintptr_t before = atomic_exchange(&last_thread, (uintptr_t)&here);
	/* threads that take turns all the time must not become slow by it */
	uint64_t now = now_us();
	if (!before || now - last_pause < 4000)
		return;
	last_pause = now;
	pause_for(100);
}

void tmksim_pace_collective(void)
{
	void (*wake)(void) = tmksim_wake_watchdogs;
	if (wake)
		wake();
}
