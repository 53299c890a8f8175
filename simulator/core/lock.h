/* lock.h - locks that a forked child finds open. */
#ifndef TMKSIM_LOCK_H
#define TMKSIM_LOCK_H

#include <pthread.h>

/* A fork while another thread holds the lock must not leave the child a locked mutex. Once in
 * a file. */
#define TMKSIM_KEEP_OVER_FORK(lock)                                                    \
	static void tmksim_lock_it(void)                                               \
	{                                                                              \
		pthread_mutex_lock(&(lock));                                           \
	}                                                                              \
	static void tmksim_unlock_it(void)                                             \
	{                                                                              \
		pthread_mutex_unlock(&(lock));                                         \
	}                                                                              \
	__attribute__((constructor)) static void tmksim_keep_over_fork(void)           \
	{                                                                              \
		pthread_atfork(tmksim_lock_it, tmksim_unlock_it, tmksim_unlock_it);    \
	}

#endif
