/* watchdog.c - ends the naps of NCCL's watchdog threads early.
 * A watchdog waits on a condition for 100 ms between two looks at the collectives that it
 * keeps alive. When a collective is waited for, its nap is made to end: the wait returns
 * and the two clocks that libstdc++ asks whether the time is over say so, once.
 * Loaded in front of libc: wraps two pthread calls and clock_gettime for these threads.
 * Called from: core/pace.c. */
#include "lock.h"
#include "pace.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

enum { WATCHDOGS = 64 };
static pthread_cond_t looked = PTHREAD_COND_INITIALIZER; /* some watchdog naps again */
static struct watchdog {
	pthread_cond_t *napping_on; /* NULL while it looks */
	unsigned long naps;
	bool wanted, gone;
} watchdogs[WATCHDOGS];
static int watchdog_count;

static int (*real_timedwait)(pthread_cond_t *, pthread_mutex_t *,
                             const struct timespec *);
static int (*real_clockwait)(pthread_cond_t *, pthread_mutex_t *, clockid_t,
                             const struct timespec *);
static int (*real_gettime)(clockid_t, struct timespec *);

/* Reads of a clock by this thread that shall find it this much later; one each. */
static _Thread_local long long skip_ns[2];
static _Thread_local int reads_left; /* bit by clock */

#ifdef __SANITIZE_THREAD__
/* Its own, for a unit test: what goes past it would seem to have the mutex all the time. */
int __interceptor_pthread_cond_timedwait(pthread_cond_t *, pthread_mutex_t *,
                                         const struct timespec *);
int __interceptor_pthread_cond_clockwait(pthread_cond_t *, pthread_mutex_t *, clockid_t,
                                         const struct timespec *);

static void find_real(void)
{
	real_timedwait = __interceptor_pthread_cond_timedwait;
	real_clockwait = __interceptor_pthread_cond_clockwait;
	real_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT,
	                                                            "clock_gettime");
}
#else
static void find_real(void)
{
	/* the version matters: without one dlsym may find the condition variables of 1999 */
	real_timedwait =
	        (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))
	                dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
	real_clockwait =
	        (int (*)(pthread_cond_t *, pthread_mutex_t *, clockid_t,
	                 const struct timespec *))dlsym(RTLD_NEXT,
	                                                "pthread_cond_clockwait");
	real_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT,
	                                                            "clock_gettime");
}
#endif

int clock_gettime(clockid_t clock, struct timespec *now)
{
	if (!real_gettime)
		find_real();
	int error = real_gettime(clock, now);
	int which = clock == CLOCK_MONOTONIC;
	if (!(reads_left >> which & 1) ||
	    (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME))
		return error;
	reads_left &= ~(1 << which);
	long long ns = now->tv_nsec + skip_ns[which];
	now->tv_sec += ns / 1000000000;
	now->tv_nsec = ns % 1000000000;
	return error;
}

static struct watchdog *self(void)
{
	static _Thread_local struct watchdog *mine;
	static _Thread_local int looks;
	/* the name is given after the thread starts: look again a few times */
	char name[16] = "";
	if (mine || looks >= 8)
		return mine;
	looks++;
	pthread_getname_np(pthread_self(), name, sizeof(name));
	if (strncmp(name, "pt_nccl_watchdg", sizeof(name)))
		return NULL;
	tmksim_lock(TMKSIM_LOCK_WATCHDOG);
	if (watchdog_count < WATCHDOGS)
		mine = &watchdogs[watchdog_count++];
	tmksim_unlock(TMKSIM_LOCK_WATCHDOG);
	return mine;
}

/* The nap of a watchdog: until its time is over, somebody signals, or it is wanted. */
static int nap(struct watchdog *me, pthread_cond_t *cond, pthread_mutex_t *mutex,
               clockid_t clock, const struct timespec *until)
{
	tmksim_lock(TMKSIM_LOCK_WATCHDOG);
	me->napping_on = cond;
	me->naps++;
	bool wanted = me->wanted;
	pthread_cond_broadcast(&looked);
	tmksim_unlock(TMKSIM_LOCK_WATCHDOG);
	int error = wanted ? ETIMEDOUT
	            : clock == CLOCK_REALTIME
	                    ? real_timedwait(cond, mutex, until)
	                    : real_clockwait(cond, mutex, clock, until);
	tmksim_lock(TMKSIM_LOCK_WATCHDOG);
	me->napping_on = NULL;
	wanted = me->wanted;
	me->wanted = false;
	tmksim_unlock(TMKSIM_LOCK_WATCHDOG);
	if (!wanted)
		return error;
	struct timespec now;
	real_gettime(clock, &now);
	long long left = (until->tv_sec - now.tv_sec) * 1000000000LL + until->tv_nsec -
	                 now.tv_nsec + 1000;
	skip_ns[0] = skip_ns[1] = left > 0 ? left : 0;
	reads_left = 3;
	return ETIMEDOUT;
}

int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                           const struct timespec *until)
{
	if (!real_timedwait)
		find_real();
	struct watchdog *me = self();
	return me ? nap(me, cond, mutex, CLOCK_REALTIME, until)
	          : real_timedwait(cond, mutex, until);
}

int pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                           clockid_t clock, const struct timespec *until)
{
	if (!real_clockwait)
		find_real();
	struct watchdog *me = self();
	return me ? nap(me, cond, mutex, clock, until)
	          : real_clockwait(cond, mutex, clock, until);
}

static struct timespec in_ns(long ns)
{
	struct timespec t;
	real_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += ns;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

static bool is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec > b->tv_sec ||
	       (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

/* Lets every watchdog look once, from now on. Bounded: one may have ended, or wait for a
 * lock that the caller holds. */
static void wake_watchdogs(void)
{
	struct timespec limit = in_ns(200000000); /* two of its looks */
	tmksim_lock(TMKSIM_LOCK_WATCHDOG);
	for (int i = 0; i < watchdog_count; i++) {
		struct watchdog *w = &watchdogs[i];
		if (w->gone)
			continue;
		/* a look that has begun may have passed what the caller waits for */
		unsigned long enough = w->naps + (w->napping_on ? 1 : 2);
		while (w->naps < enough) {
			w->wanted = true;
			if (w->napping_on)
				pthread_cond_broadcast(w->napping_on);
			/* one that is about to nap has not heard it: once more */
			struct timespec soon = in_ns(1000000);
			if (real_timedwait(&looked, tmksim_mutex(TMKSIM_LOCK_WATCHDOG),
			                   &soon) &&
			    is_later(&soon, &limit)) {
				w->gone = true;
				break;
			}
		}
	}
	tmksim_unlock(TMKSIM_LOCK_WATCHDOG);
}

/* No watchdog lives on in a child, nor does who waited for one. */
static void forked(void)
{
	watchdog_count = 0;
	memset(watchdogs, 0,
	       sizeof(watchdogs)); /* else its own would be taken for gone */
	pthread_cond_init(&looked, NULL);
}

__attribute__((constructor)) static void begin(void)
{
	find_real();
	pthread_atfork(NULL, NULL, forked);
	tmksim_wake_watchdogs = wake_watchdogs;
}
