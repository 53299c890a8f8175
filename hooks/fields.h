/* fields.h - the functions of hooks.def and the libraries they are in, by number. */
#ifndef TIDEMARK_HOOKS_FIELDS_H
#define TIDEMARK_HOOKS_FIELDS_H

enum tmk_field {
#define HOOK(field, library, need, result, arguments, symbol) TMK_FIELD_##field,
#define REAL                                                  HOOK
#define HOOK_TOO(field, library, need, result, arguments, symbol)
#define REAL_TOO HOOK_TOO
#include "hooks.def"
#undef HOOK
#undef REAL
#undef HOOK_TOO
#undef REAL_TOO
	TMK_FIELDS
};

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

#endif
