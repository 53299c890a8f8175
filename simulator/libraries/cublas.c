/* cublas.c - cuBLAS handles. Matrix products are trampolines that count as work on the
 * handle's stream (names/meaning.txt); workspaces are PyTorch's own allocations. */
#include "entry.h"

#include <stddef.h>

enum { MATH_MODE, POINTER_MODE, ATOMICS_MODE, SM_TARGET }; /* in a handle's state */
enum { NOT_INITIALIZED = 1, ALLOC_FAILED = 3 };

int cublasCreate_v2(struct tmksim_handle **handle)
{
	*handle = tmksim_handle_create();
	return *handle ? 0 : ALLOC_FAILED;
}

int cublasDestroy_v2(struct tmksim_handle *handle)
{
	tmksim_handle_destroy(handle);
	return 0;
}

static int get(void *pointer, int what, int *value)
{
	struct tmksim_handle *handle = tmksim_handle(pointer);
	if (!handle)
		return NOT_INITIALIZED;
	*value = (int)handle->state[what];
	return 0;
}

static int set(void *pointer, int what, int value)
{
	struct tmksim_handle *handle = tmksim_handle(pointer);
	if (!handle)
		return NOT_INITIALIZED;
	handle->state[what] = value;
	return 0;
}

int cublasGetMathMode(void *handle, int *mode)
{
	return get(handle, MATH_MODE, mode);
}

int cublasSetMathMode(void *handle, int mode)
{
	return set(handle, MATH_MODE, mode);
}

int cublasGetPointerMode_v2(void *handle, int *mode)
{
	return get(handle, POINTER_MODE, mode);
}

int cublasSetPointerMode_v2(void *handle, int mode)
{
	return set(handle, POINTER_MODE, mode);
}

int cublasGetAtomicsMode(void *handle, int *mode)
{
	return get(handle, ATOMICS_MODE, mode);
}

int cublasSetAtomicsMode(void *handle, int mode)
{
	return set(handle, ATOMICS_MODE, mode);
}

int cublasGetSmCountTarget(void *handle, int *count)
{
	return get(handle, SM_TARGET, count);
}

int cublasSetSmCountTarget(void *handle, int count)
{
	return set(handle, SM_TARGET, count);
}

int cublasGetVersion_v2(void *handle, int *version)
{
	(void)handle;
	*version = TMKSIM_MAJOR < 13 ? 120800 : 130000;
	return 0;
}

size_t cublasGetCudartVersion(void)
{
	return TMKSIM_MAJOR < 13 ? 12080 : 13000;
}

int cublasGetProperty(int which, int *value)
{
	const int version[] = {TMKSIM_MAJOR, TMKSIM_MAJOR < 13 ? 8 : 0, 0};
	*value = which >= 0 && which < 3 ? version[which] : 0;
	return 0;
}
