/* shape.h - what a tensor needs by its shape. Calls nothing, allocates nothing. */
#ifndef TIDEMARK_HOOKS_SHAPE_H
#define TIDEMARK_HOOKS_SHAPE_H

#include <stdint.h>

#include "doing.h"

/* The bytes of the tensor that is about to be made (sizes, strides, dtype), from its first
 * element to its last; -1 for a dtype of a later torch, of which no size is known. */
int64_t tmk_shape_bytes(const struct tmk_doing *p);

#endif
