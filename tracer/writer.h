/* writer.h - takes records out of the rings in their order and feeds the model. One
 * thread in a traced process; the same code finishes a killed one's file (recover.c). */
#ifndef TIDEMARK_TRACER_WRITER_H
#define TIDEMARK_TRACER_WRITER_H

#include "ring.h"

struct tmk_writer;

/* For the rings of a new run, into the (empty) file at `path`. Opens nothing yet. */
struct tmk_writer *tmk_writer_new(struct tmk_rings *rings, const char *path);
/* The thread's body; argument and result: the writer. */
void *tmk_writer_run(void *writer);
/* Waits until it has opened the trace: NULL, or why it cannot. After a fifth of a second it
 * is NULL too: then the writer switches tracing off itself, should it fail. */
const char *tmk_writer_wait_open(struct tmk_writer *w);
/* True where it could not open the trace; tracing that has begun is off then, and it is said. */
bool tmk_writer_refused(struct tmk_writer *w);
/* Waits until everything is in the trace; false if that takes longer than `ns`. */
bool tmk_writer_wait_done(struct tmk_writer *w, uint64_t ns);
/* Of one that is done: where the run ran out of memory, if that ended it; "" else. */
const char *tmk_writer_died(const struct tmk_writer *w);
/* Asks it to take what is left and end. Any thread. */
void tmk_writer_stop(struct tmk_writer *w);

/* Recovery, on the caller's thread: everything that is in the file's spill and in the
 * rings goes into the file, which is then finished, and the ring at `ring` removed (NULL:
 * none is). One transaction. 0 or -1 with a sentence: then the file is as it was. */
int tmk_writer_recover(struct tmk_rings *rings, const char *path, const char *ended,
                       const char *ring, char *message, size_t size);

#endif
