/* shape.h - what a tensor needs by its shape. Here, and not in a file of its own: it is part of each
 * allocation's path. Calls nothing, allocates nothing. */
#ifndef TIDEMARK_HOOKS_SHAPE_H
#define TIDEMARK_HOOKS_SHAPE_H

#include <stddef.h>
#include <stdint.h>

#include "doing.h"

/* Bytes per element by c10::ScalarType; 0: of a later torch, then no size is claimed */
static const uint8_t tmk_element_size[] = {
#define DTYPE(number, name, bytes) [number] = bytes,
#include "dtypes.def"
#undef DTYPE
};

/* The bytes of the tensor that is about to be made (sizes, strides, dtype), from its first
 * element to its last; -1 for a dtype of a later torch, of which no size is known. */
static inline int64_t tmk_shape_bytes(const struct tmk_doing *p)
{
	if (p->dtype < 0 || (size_t)p->dtype >= sizeof(tmk_element_size) ||
	    !tmk_element_size[(int)p->dtype])
		return -1;
	int64_t n = 1, last = 0;
	for (uint32_t i = 0; i < p->dims; i++) {
		n *= p->sizes[i];
		if (p->strides && p->sizes[i] > 0)
			last += (p->sizes[i] - 1) * p->strides[i];
	}
	if (p->strides && n)
		n = last + 1;
	return n * tmk_element_size[(int)p->dtype];
}

#endif
