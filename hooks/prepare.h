/* prepare.h - what can only be done once torch is there, and where no lock is held. */
#ifndef TIDEMARK_HOOKS_PREPARE_H
#define TIDEMARK_HOOKS_PREPARE_H

#include <stdbool.h>

/* Resolves libtorch, registers the scope callback, prepares the stack walkers, asks for
 * enrichment. Called at the first torch call that comes outside any lock. Idempotent. */
void tmk_prepare(void);
/* The last before a fork, the first after it; in a forked child. */
void tmk_prepare_before_fork(void);
void tmk_prepare_after_fork(void);
void tmk_prepare_forked(void);

/* Are CPU tensors traced? Asked for, or torch has no CUDA device here. */
bool tmk_traces_cpu(void);

#endif
