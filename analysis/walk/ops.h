/* ops.h - PyTorch's operators on a tape: what each makes, saves, and makes in its backward.
 * Source: tools/autograd/derivatives.yaml and aten/src/ATen/native of PyTorch. Every result is
 * held by the caller. */
#ifndef TIDEMARK_ANALYSIS_OPS_H
#define TIDEMARK_ANALYSIS_OPS_H

#include "formula.h"
#include "tape.h"

/* A tensor with its elements and the bytes of one. */
struct ten {
	tensor_id v;
	int64_t count;
	int width;
};

static const struct ten none = {.v = NO_TENSOR};

enum { OPS_PACKED = 0 }; /* the width of a frozen weight with 4 bits an element */

struct ops {
	struct tape *tape;
	const struct silicon *silicon;
	int half;     /* bytes of what autocast casts to; 0: no autocast */
	bool fp16;    /* 16 bits are fp16, not bf16 */
	int unpacked; /* bytes of an element that was packed, when it is computed with */
	bool flat; /* what matmuls read has two dimensions: no gradient is a view of it */
	bool twice_packed; /* and its scales were packed too */
};

struct ten ops_make(struct ops *o, int64_t count, int width);
void ops_let(struct ops *o, struct ten *x);
struct ten ops_hold(struct ops *o, struct ten x);

/* A weight as a matmul or a convolution takes it: under autocast its 16-bit copy. */
struct ten ops_cast_weight(struct ops *o, struct ten weight);

/* x of rows x in, a weight of in x out elements: rows x out. bias: NO_TENSOR without. */
struct ten ops_linear(struct ops *o, struct ten x, struct ten weight, struct ten bias,
                      int64_t in, int64_t out);

enum save { SAVE_NONE, SAVE_INPUT, SAVE_RESULT };
/* One in, one out of the same size: gelu and relu, x * 2, -x. */
struct ten ops_unary(struct ops *o, struct ten x, enum save save);
/* Its backward holds so many tensors of this size beside the gradient that it makes. */
struct ten ops_unary_beside(struct ops *o, struct ten x, enum save save, int beside);
/* Bounded from both sides: its backward asks of each number whether it was. */
struct ten ops_clamp(struct ops *o, struct ten x);
/* x ** n: its backward is grad * (n * x ** (n - 1)), each of the three a tensor. */
struct ten ops_power(struct ops *o, struct ten x);
struct ten ops_to(struct ops *o, struct ten x,
                  int width); /* x itself where it has it */
struct ten ops_view(struct ops *o, struct ten x);
/* contiguous(), reshape() of what is not, x plus what wants no gradient */
struct ten ops_copy(struct ops *o, struct ten x);
struct ten ops_reshaped(struct ops *o, struct ten x); /* x itself, given up: a view */
/* x itself, given up, in an order that its gradient has to be laid out anew for. */
struct ten ops_relaid(struct ops *o, struct ten x);
/* A part of a tensor, a view: its backward makes a gradient of the whole. */
struct ten ops_slice(struct ops *o, struct ten x, int64_t count);
struct ten ops_cat(struct ops *o, struct ten a, struct ten b);
struct ten ops_add(struct ops *o, struct ten a, struct ten b);
/* b added to a in place. */
struct ten ops_added(struct ops *o, struct ten a, struct ten b);
/* Less b, which has a number for each row of a. */
struct ten ops_subtract(struct ops *o, struct ten a, struct ten b);
struct ten ops_mul(struct ops *o, struct ten a, struct ten b);
/* The smaller one is a row that each row of the other is multiplied by. */
struct ten ops_mul_rows(struct ops *o, struct ten a, struct ten b);
/* Sums or means over the last dimension: x.count / over elements. */
struct ten ops_mean(struct ops *o, struct ten x, int64_t over);
struct ten ops_dropout(struct ops *o, struct ten x, bool active);
/* x plus what a branch gave, after dropout where it drops; the branch is let go of. */
struct ten ops_branch(struct ops *o, bool drops, struct ten x, struct ten branch);
/* Its backward holds the gradient times the result beside what it makes. From 16 bits to fp32 it
 * is one operator for fp16, two for bf16. */
struct ten ops_softmax(struct ops *o, struct ten x, int width);
struct ten ops_layer_norm(struct ops *o, struct ten x, struct ten weight,
                          struct ten bias, int64_t over);
/* Bytes that a sum down the columns of a matrix holds meanwhile. */
int64_t ops_sum_buffer(const struct ops *o, int64_t rows, int64_t columns);
/* Puts into op what the gradient of an embedding's table takes: so many numbers of rows of `over`
 * elements of `width` bytes. */
void ops_sort_buffers(const struct ops *o, struct op *op, int64_t numbers, int64_t rows,
                      int64_t over, int width);
/* The operands of ops_bmm() from those of a matmul(), under autocast in 16 bits; first, second: does
 * it not lie in order, and is copied? Both are held. */
void ops_lay_out(struct ops *o, struct ten operands[2], bool first, bool second);
/* The same in the width they have, autocast or not. */
void ops_lay_out_wide(struct ops *o, struct ten operands[2], bool first, bool second);
/* batches of rows x inner times inner x columns; operands as they lie (a copy is ops_copy). */
struct ten ops_bmm(struct ops *o, struct ten a, struct ten b, int64_t result);
struct ten ops_embedding(struct ops *o, struct ten weight, struct ten ids,
                         int64_t over);
/* Of logits [rows, classes], a scalar. cross_entropy_loss() asks log_softmax for the logits' own
 * dtype, so that autocast takes nll_loss alone to fp32: aten/src/ATen/native/LossNLL.cpp. */
struct ten ops_cross_entropy(struct ops *o, struct ten logits, struct ten labels);

#endif
