/* dtype.h - the types of elements, by the name that a trace has for them. */
#ifndef TIDEMARK_ANALYSIS_DTYPE_H
#define TIDEMARK_ANALYSIS_DTYPE_H

#include <stdint.h>

/* Bytes of one element; 0 for no name and for one that is not known. */
int64_t element_size(const char *dtype);

#endif
