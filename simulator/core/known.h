/* known.h - device memory whose contents are real although no kernel computes: the host
 * wrote it just now, or a collective delivered what the host had written. What kernels
 * write to is not seen, so neither is believed for long. By thread; small buffers only. */
#ifndef TIDEMARK_SIMULATOR_KNOWN_H
#define TIDEMARK_SIMULATOR_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TMKSIM_KNOWN_MAX = 65536 }; /* bytes of a buffer that is kept track of */

/* The calling thread issued a piece of work. */
void tmksim_known_work(void);

void tmksim_host_wrote(const void *at, size_t bytes);
bool tmksim_host_wrote_just_now(const void *at, size_t bytes);

void tmksim_deliver(const void *at, size_t bytes);
bool tmksim_delivered(const void *at, size_t bytes);
/* The 64-bit integer at the beginning of what was delivered just now; else 0. */
int64_t tmksim_just_delivered(void);

/* A copy on the device: delivers what was delivered. */
void tmksim_known_copied(const void *to, const void *from, size_t bytes);
/* Where the thread's last such copy took so many bytes from; else NULL. */
const void *tmksim_last_copied(size_t bytes);

#endif
