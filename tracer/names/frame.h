/* frame.h - what a frame tells of what is allocated under it. Writer thread. */
#ifndef TIDEMARK_TRACER_FRAME_H
#define TIDEMARK_TRACER_FRAME_H

#include <stdint.h>

enum {
	TMK_IN_CHECKPOINT = 1, /* torch/utils/checkpoint.py */
	TMK_IN_SEED = 2, /* the gradient of the loss is made, before the engine runs */
	TMK_IN_CLIP = 4, /* torch/nn/utils/clip_grad.py, GradScaler.unscale_ */
	TMK_IN_ZERO_GRAD = 8,
	TMK_IN_WORKSPACE = 16, /* cuBLAS, cuDNN handles and workspaces */
	TMK_IN_COMMUNICATION = 32,
	TMK_IN_DATA = 64,   /* an iterator is made before its scope opens */
	TMK_IN_ZEROS = 128, /* what begins as zeros or as a copy */
	TMK_IN_BATCH = 256, /* drawn at random, or brought from elsewhere */
};

uint32_t tmk_frame_python(const char *function, const char *file);
uint32_t tmk_frame_native(const char *symbol); /* demangled */

#endif
