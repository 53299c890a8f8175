/* walk.h - the peak of training over time: a step is gone through tensor by tensor, as PyTorch
 * runs it, and the most that stands at once is the answer. */
#ifndef TIDEMARK_ANALYSIS_WALK_H
#define TIDEMARK_ANALYSIS_WALK_H

#include "formula.h"
#include "tape.h"

/* Bytes that cuBLAS takes for one handle and stream: PyTorch's default, 2 x 4096 KiB and 8 x 16 KiB.
 * The forward and the backward have a thread, and so a handle, each. cublasLt, which adds biases,
 * has a MiB of its own in each thread that runs a forward. Source:
 * aten/src/ATen/cuda/CublasHandlePool.cpp. */
enum {
	WALK_CUBLAS_WORKSPACE = (2 * 4096 + 8 * 16) << 10,
	WALK_CUBLAS_WORKSPACE_HOPPER = 8 * 4096 << 10,
	WALK_CUBLASLT_WORKSPACE = 1 << 20
};

/* That of the training's card. */
int64_t walk_cublas_workspace(const struct training *training);

struct walk {
	struct tape_totals first, later; /* step 1, and a step that has states */
	int64_t left; /* bytes that the forward of such a step leaves for its backward */
};

/* false: the walk does not know this architecture, or a part of this training; the sum of
 * formula.h is all there is then. capacity: bytes that PyTorch's allocator may take from the
 * device, INT64_MAX without end; 0: no allocator and no reserved bytes, which is faster. */
bool walk_training(const struct model *model, const struct training *training,
                   int64_t capacity, struct walk *walk);

/* Would it be gone through? why: the reason where not, as words behind "no peak over time: "; NULL
 * with a size of 0 where nobody asks. What true promises the walk may still not keep: the model's
 * weights can be others than those of its shape. */
bool walk_knows(const struct model *model, const struct training *training, char *why,
                size_t size);

/* The larger of the two steps. */
const struct tape_totals *walk_worst(const struct walk *walk);

#endif
