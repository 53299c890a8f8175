/* latch.h - the library's own locks; all of them stand in locks.def, in the order in which they
 * are taken. (A lock on a file is owner.h's.)
 *
 * fork() takes all of them in that order, so that a child finds open what a thread that it does
 * not have would have held for ever, and whole what they guard. It waits a second at most in
 * all, and goes on without those that it could not have: the child is told which (process.c).
 * What needs no place in the list:
 * - Words that one thread sets to claim something and nobody waits for (late.c, enrich.c,
 *   wrap_driver.c): a child sets back what was claimed and not done.
 * - pthread_once(): a child whose parent was in the middle of it begins anew (glibc).
 * - What threads wait for with a limit of their own (tmk_state while a trace begins, rings that
 *   are full, real.c's `looking`): a child sets it back. */
#ifndef TIDEMARK_TRACER_LATCH_H
#define TIDEMARK_TRACER_LATCH_H

#include <stdbool.h>
#include <stdint.h>

enum tmk_latch {
#define LOCK(side, name, what) LOCK_##side(name)
#define LOCK_LIBRARY(name)     TMK_LATCH_##name,
#define LOCK_DEVICE(name)
#include "locks.def"
#undef LOCK
#undef LOCK_LIBRARY
#undef LOCK_DEVICE
	TMK_LATCHES
};

/* With TIDEMARK_DEBUG_LOCKS a latch that is waited for out of order ends the program. None is
 * taken where an event is recorded, but for the exceptions that docs/architecture.md names. */
void tmk_latch(enum tmk_latch which);
bool tmk_latch_try(enum tmk_latch which);
void tmk_unlatch(enum tmk_latch which);
/* By the holder of one that is held for long: lets a thread that forks have it. */
void tmk_latch_yield(enum tmk_latch which);

/* LOADER. False: another thread forks, and has not come to an end in a fifth of a second; then
 * what is not necessary is left out. True: tmk_loader_leave() follows. */
bool tmk_loader_enter(void);
/* The same where the allocator's lock may be held: it waits as long as patience.h allows. */
bool tmk_loader_enter_in_hook(void);
void tmk_loader_leave(void);

/* For pthread_atfork(). The last one returns the latches that fork() could not have, a bit
 * each; whether it had them or not, they are open now. */
void tmk_latches_before_fork(void);
void tmk_latches_after_fork(void);
uint32_t tmk_latches_in_child(void);

#endif
