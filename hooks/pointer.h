/* pointer.h - where a tensor's memory lies. */
#ifndef TIDEMARK_HOOKS_POINTER_H
#define TIDEMARK_HOOKS_POINTER_H

#include <stdbool.h>

/* The address of the first element of an at::Tensor; NULL where it has no memory of its own
 * (sparse, fake, undefined). Changes nothing and prints nothing. Under the guard; a few
 * nanoseconds. */
void *tmk_pointer_of(void *tensor);

/* From now on, on this thread: tensor.data_ptr() in Python warns of nothing and copies
 * nothing that is shared until written to. For enrich.c, which only reads addresses. */
void tmk_pointer_quiet(bool on);

#endif
