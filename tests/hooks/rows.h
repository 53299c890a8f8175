/* rows.h - what the walk and its libraries agree on. */
#ifndef TIDEMARK_TEST_ROWS_H
#define TIDEMARK_TEST_ROWS_H

#include <stdint.h>

struct registers { /* a call: what goes in, then what came out */
	uint64_t integer[6];
	double vector[8];
	uint64_t stack[4];
	uint64_t result[2];
};

struct seen { /* by the library that was reached */
	struct registers registers;
	uint64_t row, copy, calls;
	uint64_t returns; /* what it returns */
};

enum row {
#define HOOK(field, library, need, result, arguments, symbol) ROW_##symbol,
#define HOOK_TOO                                              HOOK
#define REAL(field, library, need, result, arguments, symbol)
#define REAL_TOO REAL
#include "hooks.def"
#undef HOOK
#undef HOOK_TOO
#undef REAL
#undef REAL_TOO
	ROW_COUNT
};

#endif
