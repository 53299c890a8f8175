/* lock.c - see lock.h. Any thread.
 * Called from: core/, cudart/, driver/, libraries/. */
#include "lock.h"

#include <stdio.h>
#include <stdlib.h>

static pthread_mutex_t mutexes[TMKSIM_LOCKS] = {
#define LOCK(side, name, what) LOCK_##side(name)
#define LOCK_LIBRARY(name)
#define LOCK_DEVICE(name) PTHREAD_MUTEX_INITIALIZER,
#include "locks.def"
#undef LOCK
#undef LOCK_LIBRARY
#undef LOCK_DEVICE
};

#ifdef TIDEMARK_DEBUG_LOCKS
static _Thread_local unsigned held; /* by this thread, a bit each */

static void check(enum tmksim_lock which)
{
	static const char *const names[] = {
#define LOCK(side, name, what) LOCK_##side(name)
#define LOCK_LIBRARY(name)
#define LOCK_DEVICE(name) #name,
#include "locks.def"
#undef LOCK
#undef LOCK_LIBRARY
#undef LOCK_DEVICE
	};
	if (!(held >> which))
		return;
	fprintf(stderr, "tidemark simulator: lock %s is taken by who holds",
	        names[which]);
	for (unsigned i = which; i < TMKSIM_LOCKS; i++)
		if (held >> i & 1)
			fprintf(stderr, " %s", names[i]);
	fprintf(stderr, "\n");
	abort();
}
#define TAKES(which) (check(which), held |= 1u << (which))
#define GIVES(which) (held &= ~(1u << (which)))
#else
#define TAKES(which) ((void)0)
#define GIVES(which) ((void)0)
#endif

void tmksim_lock(enum tmksim_lock which)
{
	TAKES(which);
	pthread_mutex_lock(&mutexes[which]);
}

void tmksim_unlock(enum tmksim_lock which)
{
	pthread_mutex_unlock(&mutexes[which]);
	GIVES(which);
}

pthread_mutex_t *tmksim_mutex(enum tmksim_lock which)
{
	return &mutexes[which];
}

/* Handlers of each file alone would take them in the order in which the files were linked,
 * which is nobody's. */
static void take_all(void)
{
	for (int i = 0; i < TMKSIM_LOCKS; i++)
		tmksim_lock((enum tmksim_lock)i);
}

static void give_all(void)
{
	for (int i = TMKSIM_LOCKS; i-- > 0;)
		tmksim_unlock((enum tmksim_lock)i);
}

__attribute__((constructor)) static void keep_over_fork(void)
{
	pthread_atfork(take_all, give_all, give_all);
}
