/* session.h - the life of one recording: from the first device event of a process to its
 * end, across fork. */
#ifndef TIDEMARK_TRACER_SESSION_H
#define TIDEMARK_TRACER_SESSION_H

#include <stdbool.h>
#include <stdint.h>

/* Called on the starting thread, under the guard, once the rings stand: emits what is
 * known about the run. Set by hooks/ before the first event. */
extern void (*tmk_session_about)(void);

/* Makes the files and starts the writer unless that has happened. True: active.
 * Any thread, under the guard. A failure is said once on stderr and switches us off. */
bool tmk_session_ensure(void);

/* The process ends with `status` (known = false: not known): everything is written, the
 * ring removed. Idempotent; any thread; bounded by 2 s, past which the ring stays
 * and the reader finishes the job. */
void tmk_session_finish(int status, bool known);

/* In a forked child: forget the parent's rings, locks and database without touching
 * them. The child starts its own recording at its first event, unless the parent's store was
 * in use: missing, the latches that fork() could not have (latch.h). */
void tmk_session_forked(uint32_t missing);

#endif
