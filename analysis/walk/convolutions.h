/* convolutions.h - PyTorch's operators on pictures, on a tape. What the kernels of a convolution work
 * in is the choice of a card's cuDNN, and left out. */
#ifndef TIDEMARK_ANALYSIS_CONVOLUTIONS_H
#define TIDEMARK_ANALYSIS_CONVOLUTIONS_H

#include "ops.h"

/* x is taken in the weight's width, under autocast in 16 bits. */
struct convolution {
	struct ten weight, bias; /* bias: NO_TENSOR without */
	int64_t count, channels; /* of the result */
	bool turned; /* the picture lies place by place: the weight is laid out so meanwhile */
	bool relaid; /* the result's gradient is laid out anew */
};
struct ten ops_convolution(struct ops *o, struct ten x, const struct convolution *by);
/* LayerNorm of each place's channels. */
struct picture_norm {
	struct ten weight, bias;
	int64_t channels;
	bool turned; /* with a view of the picture before and behind */
	bool copied; /* the picture lies channel by channel */
	bool apart;  /* so does the gradient of the result alone */
};
struct ten ops_picture_norm(struct ops *o, struct ten x, const struct picture_norm *by);
/* BatchNorm that trains, of so many channels, in x's own width. */
struct ten ops_batch_norm(struct ops *o, struct ten x, struct ten weight,
                          struct ten bias, int64_t channels);
struct ten ops_max_pool(struct ops *o, struct ten x, int64_t count);
/* a += b in place: the result is a itself, which is given up. */
struct ten ops_add_to(struct ops *o, struct ten a, struct ten b);

#endif
