/* clock.c - a preload: the clocks jump. CLOCK_SHIFT is how many seconds each look at the
 * wall clock goes back or forth by turns; the monotonic clocks stand still for as long. */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long shift(void)
{
	const char *text = getenv("CLOCK_SHIFT");
	return text ? atol(text) : 86400;
}

int clock_gettime(clockid_t clock, struct timespec *at)
{
	static atomic_uint looks;
	int rc = (int)syscall(SYS_clock_gettime, clock, at);
	unsigned n = atomic_fetch_add(&looks, 1);
	if (!rc && clock == CLOCK_REALTIME)
		at->tv_sec += n % 2 ? shift() : -shift();
	else if (!rc && clock == CLOCK_MONOTONIC_RAW)
		at->tv_nsec = 0;
	return rc;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone)
{
	struct timespec now;
	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &now))
		return -1;
	at->tv_sec = now.tv_sec;
	at->tv_usec = now.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *at)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (at)
		*at = now.tv_sec;
	return now.tv_sec;
}
