/* real.h - the functions behind our wrappers, and how they are found.
 *
 * dlsym(RTLD_NEXT) finds what lies in the global scope (cudart, libc); libc10 and libtorch
 * are loaded RTLD_LOCAL by Python and are found by their path in the link map, opened
 * with RTLD_NOLOAD: this is the whole of our "linking" with libtorch. */
#ifndef TMK_REAL_H
#define TMK_REAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cuda_types.h"
#include "record.h"

struct tmk_sizes { /* c10::ArrayRef<int64_t>, passed in two registers */
	const int64_t *data;
	size_t count;
};
struct tmk_source_location { /* c10::SourceLocation, passed in memory */
	const char *function, *file;
	uint32_t line;
};
struct tmk_vector { /* std::vector<at::Tensor>, returned through memory */
	void *begin, *end, *capacity;
};
struct tmk_record_callback { /* at::RecordFunctionCallback: the same from 1.13 to 2.15 */
	void *start, *end;
	double probability;
	bool scopes[10];
	bool inputs, outputs, ids;
};
_Static_assert(sizeof(struct tmk_record_callback) == 40, "at::RecordFunctionCallback");

struct tmk_real {
#define HOOK(field, library, need, result, arguments, symbol) result(*field) arguments;
#define REAL                                                  HOOK
#define HOOK_TOO(field, library, need, result, arguments, symbol)
#define REAL_TOO HOOK_TOO
#include "hooks.def"
#undef HOOK
#undef REAL
#undef HOOK_TOO
#undef REAL_TOO
};

extern struct tmk_real tmk_real;

enum tmk_library {
	TMK_LIB_C10,
	TMK_LIB_CPU,
	TMK_LIB_C10_CUDA,
	TMK_LIB_CUDART,
	TMK_LIB_CUDA,
	TMK_LIB_NCCL,
	TMK_LIB_LIBC,
	TMK_LIBRARIES
};

/* Finds every real function of a library that is loaded now. Idempotent, any thread. Takes
 * the loader's lock: on the hot path only where a wrapper's real function is not there
 * yet. True: the library is loaded. */
bool tmk_resolve(enum tmk_library library);

/* The path of a loaded library, false if it is not. */
bool tmk_library_path(enum tmk_library library, char *path, size_t size);

/* One capability per `need` of hooks.def: reported into the trace. */
void tmk_report_capabilities(void);

#define TMK_EXPORT __attribute__((visibility("default")))

/* The wrappers' prototypes, so that none can differ from the list. */
#define HOOK(field, library, need, result, arguments, symbol)                          \
	TMK_EXPORT result symbol arguments;
#define HOOK_TOO HOOK
#define REAL(field, library, need, result, arguments, symbol)
#define REAL_TOO REAL
#include "hooks.def"
#undef HOOK
#undef REAL
#undef HOOK_TOO
#undef REAL_TOO

#endif
