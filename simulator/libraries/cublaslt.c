/* cublaslt.c - cuBLASLt: descriptors, and a heuristic
 * that finds one algorithm without workspace for every product. */
#include "entry.h"
#include "stream.h"

#include <string.h>

enum { ALLOC_FAILED = 3, INVALID_VALUE = 7 };

/* What a descriptor says changes nothing here, so none of it is kept. */
static int create(struct tmksim_handle **object)
{
	*object = tmksim_handle_create();
	return *object ? 0 : ALLOC_FAILED;
}

static int initialise(void *memory, size_t bytes)
{
	memset(memory, 0, bytes);
	return 0;
}

int cublasLtCreate(struct tmksim_handle **handle)
{
	return create(handle);
}

int cublasLtMatmulDescCreate(struct tmksim_handle **object)
{
	return create(object);
}

int cublasLtMatrixLayoutCreate(struct tmksim_handle **object)
{
	return create(object);
}

int cublasLtMatmulPreferenceCreate(struct tmksim_handle **object)
{
	return create(object);
}

int cublasLtMatrixTransformDescCreate(struct tmksim_handle **object)
{
	return create(object);
}

/* The inlined C++ helpers of the header keep descriptors in memory of their own. */
int cublasLtMatmulDescInit_internal(void *memory, size_t bytes)
{
	return initialise(memory, bytes);
}

int cublasLtMatrixLayoutInit_internal(void *memory, size_t bytes)
{
	return initialise(memory, bytes);
}

int cublasLtMatmulPreferenceInit_internal(void *memory, size_t bytes)
{
	return initialise(memory, bytes);
}

int cublasLtMatrixTransformDescInit_internal(void *memory, size_t bytes)
{
	return initialise(memory, bytes);
}

struct heuristic {
	uint64_t algorithm[8];
	size_t workspace_bytes;
	int state; /* 0: success */
	float waves;
	int reserved[4];
};
_Static_assert(sizeof(struct heuristic) == 96, "ABI");

static void succeed(struct heuristic *result)
{
	memset(result, 0, sizeof(*result));
	result->waves = 1;
}

int cublasLtMatmulAlgoGetHeuristic(void *handle, void *operation, void *a, void *b,
                                   void *c, void *d, void *preference, int wanted,
                                   struct heuristic *results, int *found)
{
	(void)handle, (void)operation, (void)a, (void)b, (void)c, (void)d,
	        (void)preference;
	if (wanted < 1)
		return INVALID_VALUE;
	succeed(results);
	*found = 1;
	return 0;
}

int cublasLtMatmulAlgoCheck(void *handle, void *operation, void *a, void *b, void *c,
                            void *d, const void *algorithm, struct heuristic *result)
{
	(void)handle, (void)operation, (void)a, (void)b, (void)c, (void)d,
	        (void)algorithm;
	succeed(result);
	return 0;
}

int cublasLtMatmulAlgoGetIds(void *handle, int compute, int scale, int a, int b, int c,
                             int d, int wanted, int *ids, int *found)
{
	(void)handle, (void)compute, (void)scale, (void)a, (void)b, (void)c, (void)d;
	if (wanted < 1)
		return INVALID_VALUE;
	ids[0] = 0;
	*found = 1;
	return 0;
}

int cublasLtMatmulAlgoInit(void *handle, int compute, int scale, int a, int b, int c,
                           int d, int id, void *algorithm)
{
	(void)handle, (void)compute, (void)scale, (void)a, (void)b, (void)c, (void)d,
	        (void)id;
	return initialise(algorithm, 64);
}

static int read_zero(void *value, size_t bytes, size_t *written)
{
	if (written)
		*written = bytes;
	return value ? initialise(value, bytes) : 0;
}

int cublasLtMatmulAlgoConfigGetAttribute(const void *algorithm, int attribute,
                                         void *value, size_t bytes, size_t *written)
{
	(void)algorithm, (void)attribute;
	return read_zero(value, bytes, written);
}

int cublasLtMatmulAlgoCapGetAttribute(const void *algorithm, int attribute, void *value,
                                      size_t bytes, size_t *written)
{
	(void)algorithm, (void)attribute;
	return read_zero(value, bytes, written);
}

int cublasLtMatmul(void *handle, void *operation, const void *alpha, const void *a,
                   void *a_layout, const void *b, void *b_layout, const void *beta,
                   const void *c, void *c_layout, void *d, void *d_layout,
                   const void *algorithm, void *workspace, size_t workspace_bytes,
                   struct tmksim_stream *stream)
{
	(void)handle, (void)operation, (void)alpha, (void)a, (void)a_layout, (void)b;
	(void)b_layout, (void)beta, (void)c, (void)c_layout, (void)d, (void)d_layout;
	(void)algorithm, (void)workspace, (void)workspace_bytes;
	tmksim_work(stream);
	return 0;
}

int cublasLtMatrixTransform(void *handle, void *operation, const void *alpha,
                            const void *a, void *a_layout, const void *beta,
                            const void *b, void *b_layout, void *c, void *c_layout,
                            struct tmksim_stream *stream)
{
	(void)handle, (void)operation, (void)alpha, (void)a, (void)a_layout, (void)beta;
	(void)b, (void)b_layout, (void)c, (void)c_layout;
	tmksim_work(stream);
	return 0;
}

size_t cublasLtGetVersion(void)
{
	return TMKSIM_MAJOR < 13 ? 120800 : 130000;
}

size_t cublasLtGetCudartVersion(void)
{
	return TMKSIM_MAJOR < 13 ? 12080 : 13000;
}
