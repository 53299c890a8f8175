/* copy.h - copies and fills between host and simulated devices.
 * Kernels compute nothing, so device memory holds what was copied or filled in. A copy
 * is exact except from the host to a device beyond TIDEMARK_SIM_COPY_MAX, where only the
 * beginning arrives: weights of a large model would otherwise fill the host. */
#ifndef TIDEMARK_SIMULATOR_COPY_H
#define TIDEMARK_SIMULATOR_COPY_H

#include <stddef.h>

void tmksim_copy(void *to, const void *from, size_t bytes);
/* `height` rows of `width` bytes; pitches in bytes. */
void tmksim_copy_rows(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                      size_t width, size_t height);
/* Repeats a pattern of 1, 2 or 4 bytes over `count` elements. */
void tmksim_fill(void *to, unsigned value, size_t width, size_t count);

#endif
