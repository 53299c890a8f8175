/* late.h - what can only be done once torch is there, and where no lock is held. */
#ifndef TMK_LATE_H
#define TMK_LATE_H

#include <stdbool.h>

/* Resolves libtorch, registers the scope callback, prepares the stack walkers, asks for
 * enrichment. Called at the first torch call that comes outside any lock. Idempotent. */
void tmk_late_init(void);
/* The last before a fork, the first after it; in a forked child. */
void tmk_late_before_fork(void);
void tmk_late_after_fork(void);
void tmk_late_forked(void);

/* Moments at which the Python side is worth a look (enrich.c): the first forward, an
 * optimizer step that has just ended, a backward where there was no step yet. Cheap; any
 * thread. */
void tmk_late_forward(void);
void tmk_late_step(void);
void tmk_late_backward(bool accumulate);

/* Are CPU tensors traced? Asked for, or torch has no CUDA device here. */
bool tmk_late_cpu(void);

#endif
