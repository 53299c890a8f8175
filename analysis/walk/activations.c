/* activations.c - the function in a transformer's feed-forward part, on a tape.
 * Called from: feed_forward.c, heads.c, seq2seq.c. */
#include "transformer.h"

/* 0.5 * x * (1 + tanh(c * (x + 0.044715 * x ** 3))), operator by operator */
struct ten transformer_gelu_new(struct ops *o, struct ten x)
{
	struct ten half = ops_unary(o, x, SAVE_NONE);
	struct ten wide =
	        o->half ? ops_to(o, x, 4) : ops_hold(o, x); /* pow() is fp32 */
	struct ten cube = ops_power(o, wide), a, b, result;

	ops_let(o, &wide);
	a = ops_unary(o, cube, SAVE_NONE);
	ops_let(o, &cube);
	b = ops_add(o, x, a);
	ops_let(o, &a);
	a = ops_unary(o, b, SAVE_NONE);
	ops_let(o, &b);
	b = ops_unary(o, a, SAVE_RESULT); /* tanh */
	ops_let(o, &a);
	a = ops_copy(o, b); /* one more */
	ops_let(o, &b);
	result = ops_mul(o, half, a);
	ops_let(o, &half);
	ops_let(o, &a);
	return result;
}

/* BLOOM's: one node, whose backward has four tensors beside its gradient at most; so has the
 * forward. Source: bloom_gelu_back and bloom_gelu_forward in transformers' modeling_bloom.py. */
static struct ten gelu_own(struct ops *o, struct ten x)
{
	struct ten beside[3], result;

	for (int i = 0; i < 3; i++)
		beside[i] = ops_make(o, x.count, x.width);
	result = ops_unary_beside(o, x, SAVE_INPUT, 4);
	for (int i = 0; i < 3; i++)
		ops_let(o, &beside[i]);
	return result;
}

/* x * sigmoid(1.702 * x) */
static struct ten gelu_quick(struct ops *o, struct ten x)
{
	struct ten scaled = ops_unary(o, x, SAVE_NONE),
	           share = ops_unary(o, scaled, SAVE_RESULT), result;

	ops_let(o, &scaled);
	result = ops_mul(o, x, share);
	ops_let(o, &share);
	return result;
}

/* relu(x) ** 2; autocast takes the power in fp32 */
static struct ten relu_squared(struct ops *o, struct ten x)
{
	struct ten relu = ops_unary(o, x, SAVE_RESULT),
	           wide = o->half ? ops_to(o, relu, 4) : ops_hold(o, relu),
	           result = ops_power(o, wide);

	ops_let(o, &wide);
	ops_let(o, &relu);
	return result;
}

struct ten transformer_activated(struct transformer *m, struct ten x)
{
	switch (m->shape->mlp) {
	case MLP_GELU_NEW:
		return transformer_gelu_new(&m->ops, x);
	case MLP_GELU_OWN:
		return gelu_own(&m->ops, x);
	case MLP_GELU_QUICK:
		return gelu_quick(&m->ops, x);
	case MLP_RELU2:
		return relu_squared(&m->ops, x);
	case MLP_RELU:
		return ops_unary(&m->ops, x, SAVE_RESULT);
	default:
		return ops_unary(&m->ops, x, SAVE_INPUT);
	}
}
