/* mapped.h - pages of our files that somebody else takes away.
 *
 * Whoever makes a mapped file shorter (a truncated log folder, a copy that cuts its source) takes
 * its pages from under all who have it mapped: the next touch is SIGBUS, in whatever thread of the
 * traced program it happens. From the first note on, a handler of ours answers such a signal with
 * empty memory in the place of the pages, and says so in the mapping's flag. A SIGBUS from
 * anywhere else goes where it went before. */
#ifndef TIDEMARK_TRACER_MAPPED_H
#define TIDEMARK_TRACER_MAPPED_H

#include <stdatomic.h>
#include <stddef.h>

/* Notes the mapping of `size` bytes at `from`, readable and writable; *gone becomes true when it
 * is replaced, and lives as long as the note. Any thread; some system calls the first time. A
 * thousand at a time: one more is as it would be without. */
void tmk_mapped_note(void *from, size_t size, atomic_bool *gone);

/* On the one thread of ours, which blocks all signals: a SIGBUS of a mapping is met there, too. One
 * that somebody sends is the program's. */
void tmk_mapped_heed(void);

/* Before it is unmapped. What was never noted is nothing. */
void tmk_mapped_forget(void *from);

#endif
