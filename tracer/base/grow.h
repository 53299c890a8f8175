/* grow.h - arrays that grow, on the writer thread. */
#ifndef TIDEMARK_TRACER_GROW_H
#define TIDEMARK_TRACER_GROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Makes room for one more element; false when there is no memory. */
static inline bool tmk_grow(void **array, uint32_t *capacity, uint32_t count,
                            size_t element)
{
	if (count < *capacity)
		return true;
	uint32_t bigger = *capacity ? *capacity * 2 : 1024;
	void *p = realloc(*array, bigger * element);
	if (!p)
		return false;
	*array = p;
	*capacity = bigger;
	return true;
}

#endif
