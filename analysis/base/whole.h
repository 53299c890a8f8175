/* whole.h - from a fraction to a whole number. A damaged trace may lead to any fraction, and
 * C leaves undefined what a cast makes of one that has no room. */
#ifndef TIDEMARK_ANALYSIS_WHOLE_H
#define TIDEMARK_ANALYSIS_WHOLE_H

#include <stdint.h>

/* Cut off towards zero, or the bound that it lies beyond; the lower one for no number. */
static inline int64_t whole_within(double number, int64_t least, int64_t most)
{
	if (!(number > (double)least))
		return least;
	return number < (double)most ? (int64_t)number : most;
}

static inline int64_t whole_of(double number)
{
	return whole_within(number, INT64_MIN, INT64_MAX);
}

#endif
