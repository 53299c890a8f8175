/* lock.h - the simulated device's locks: all of them stand in tracer/base/locks.def, in the
 * order in which they are taken. A forked child finds them open. What runs once, runs by pthread_once(): a
 * child whose parent was in the middle of it begins it anew (glibc). */
#ifndef TIDEMARK_SIMULATOR_LOCK_H
#define TIDEMARK_SIMULATOR_LOCK_H

#include <pthread.h>

enum tmksim_lock {
#define LOCK(side, name, what) LOCK_##side(name)
#define LOCK_LIBRARY(name)
#define LOCK_DEVICE(name) TMKSIM_LOCK_##name,
#include "locks.def"
#undef LOCK
#undef LOCK_LIBRARY
#undef LOCK_DEVICE
	TMKSIM_LOCKS
};

/* With TIDEMARK_DEBUG_LOCKS a lock that is taken out of order ends the program. */
void tmksim_lock(enum tmksim_lock which);
void tmksim_unlock(enum tmksim_lock which);
/* For a condition to wait on, by its holder. */
pthread_mutex_t *tmksim_mutex(enum tmksim_lock which);

#endif
