/* nccl_values.h - what a collective writes into this rank's buffers, as if every peer held
 * what this rank holds. Nothing is exchanged above TMKSIM_KNOWN_MAX bytes a rank: large
 * buffers keep what they have, as after any kernel. */
#ifndef TIDEMARK_SIMULATOR_NCCL_VALUES_H
#define TIDEMARK_SIMULATOR_NCCL_VALUES_H

#include <stddef.h>

size_t nccl_element_bytes(int type);

void nccl_give(void *to, const void *from, size_t bytes);
/* The contributions of `ranks` ranks, one behind the other; `bytes` is one's. */
void nccl_gather(void *to, const void *from, size_t bytes, int ranks);
/* The sum of numbers that the host wrote is `ranks` times these. A maximum, minimum or
 * mean of equal numbers is the number; products and computed numbers stay as they are. */
void nccl_reduce(void *to, const void *from, size_t count, int type, int operation,
                 int ranks);

#endif
