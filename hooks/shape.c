/* shape.c - see shape.h. Called from: stacks.c. */
#include "shape.h"

#include <stddef.h>

/* Bytes per element by c10::ScalarType; 0: of a later torch, then no size is claimed */
static const uint8_t element_size[] = {
#define DTYPE(number, name, bytes) [number] = bytes,
#include "dtypes.def"
#undef DTYPE
};

int64_t tmk_shape_bytes(const struct tmk_doing *p)
{
	if (p->dtype < 0 || (size_t)p->dtype >= sizeof(element_size) ||
	    !element_size[(int)p->dtype])
		return -1;
	int64_t n = 1, last = 0;
	for (uint32_t i = 0; i < p->dims; i++) {
		n *= p->sizes[i];
		if (p->strides && p->sizes[i] > 0)
			last += (p->sizes[i] - 1) * p->strides[i];
	}
	if (p->strides && n)
		n = last + 1;
	return n * element_size[(int)p->dtype];
}
