/* dtype.c - see dtype.h.
 * Called from: recognise/recognise.c, reconcile/measure.c, recorded.c. */
#include "dtype.h"

#include <string.h>

int64_t element_size(const char *dtype)
{
	static const struct {
		const char *name;
		int64_t bytes;
	} sizes[] = {
#define DTYPE(number, name, bytes) {#name, bytes},
#include "dtypes.def"
#undef DTYPE
	};
	for (size_t i = 0; dtype && i < sizeof(sizes) / sizeof(sizes[0]); i++)
		if (!strcmp(dtype, sizes[i].name))
			return sizes[i].bytes;
	return 0;
}
