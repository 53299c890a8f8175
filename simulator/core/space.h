/* space.h - hands out stretches of one large reserved address range, lowest first, so
 * that the same calls get the same addresses' order in every run (PyTorch breaks ties
 * between equal blocks by address). Not locked: memory.c holds its mutex. */
#ifndef TIDEMARK_SIMULATOR_SPACE_H
#define TIDEMARK_SIMULATOR_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A stretch of `bytes` aligned to `alignment` (a power of two), or 0. */
uintptr_t tmksim_space_take(size_t bytes, size_t alignment);
void tmksim_space_give(uintptr_t at, size_t bytes);
bool tmksim_space_holds(uintptr_t at);

#endif
