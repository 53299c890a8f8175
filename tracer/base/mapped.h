/* mapped.h - pages of our files that somebody else takes away.
 *
 * Whoever makes a mapped file shorter (a truncated log folder, a copy that cuts its source) takes
 * its pages from under all who have it mapped: the next touch is SIGBUS, in whatever thread of the
 * traced program it happens. From the first note on, a handler of ours answers such a signal with
 * empty memory in the place of the pages, and says so in the mapping's flag. A SIGBUS from
 * anywhere else goes where the program wants it, also what it says about that later: in the
 * preloaded library its sigaction() and signal() come here (wrap_signal.c). */
#ifndef TIDEMARK_TRACER_MAPPED_H
#define TIDEMARK_TRACER_MAPPED_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

typedef int tmk_sigaction_fn(int, const struct sigaction *, struct sigaction *);

/* Notes the mapping of `size` bytes at `from`, readable and writable; *gone becomes true when it
 * is replaced, and lives as long as the note. Any thread; some system calls the first time. A
 * thousand at a time: one more is as it would be without. */
void tmk_mapped_note(void *from, size_t size, atomic_bool *gone);

/* On the one thread of ours, which blocks all signals: a SIGBUS of a mapping is met there, too. One
 * that somebody sends is the program's. */
void tmk_mapped_heed(void);

/* What is called in place of sigaction(), where that is a wrapper that comes back here. */
void tmk_mapped_real(tmk_sigaction_fn *sigaction_behind_ours);

/* Is this process' handler of SIGBUS ours? Then the program's wish is ours to keep. */
bool tmk_mapped_guards(void);

/* sigaction(SIGBUS, wanted, before) as the program means it; either may be NULL. May be called in
 * a signal's handler. */
void tmk_mapped_asks(const struct sigaction *wanted, struct sigaction *before);

/* In a forked child. */
void tmk_mapped_forked(void);

/* Before it is unmapped. What was never noted is nothing. */
void tmk_mapped_forget(void *from);

#endif
