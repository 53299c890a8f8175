/* tidemark.h - what a program or another tool may call in libtidemark.so. All of it is
 * optional: look the names up weakly, and nothing happens where the library is not
 * preloaded.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TIDEMARK_H
#define TIDEMARK_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The library's version, "0.1.0". */
const char *tidemark_version(void);

/* The calling program says that a training step ends here. From the first call on steps
 * are what it says, not what torch.optim's optimizers do. Any thread. */
void tidemark_step(void);

/* Finishes the trace of a process that was killed, from the ring it left, or makes a
 * completed copy of the trace of one that still runs. Call it in a process of its own: it
 * may need memory for a whole training step.
 * trace: path of the trace file; into: path of the copy to make, or NULL for in place.
 * Returns 0 done; 1 nothing to do; 2 the process is alive and into is NULL; negative:
 * failed, and message holds one sentence. */
int tidemark_recover(const char *trace, const char *into, char *message, size_t message_size);

#ifdef __cplusplus
}
#endif

#endif
