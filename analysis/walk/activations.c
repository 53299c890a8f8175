/* activations.c - the function in a transformer's feed-forward part, on a tape.
 * Source: transformers' activations.py, 5.23.
 * Called from: walk/. */
#include "transformer.h"

/* 0.5 * x * (1 + tanh(c * (x + 0.044715 * x ** 3))), operator by operator */
static struct ten gelu_new(struct ops *o, struct ten x)
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

/* x / 2 * (1 + tanh(c * x * (1 + 0.044715 * x * x))) */
static struct ten gelu_fast(struct ops *o, struct ten x)
{
	struct ten half = ops_unary(o, x, SAVE_NONE),
	           times = ops_unary(o, x, SAVE_NONE),
	           small = ops_unary(o, x, SAVE_NONE), square = ops_mul(o, small, x), a,
	           b;

	ops_let(o, &small);
	a = ops_copy(o, square); /* one more */
	ops_let(o, &square);
	b = ops_mul(o, times, a);
	ops_let(o, &times);
	ops_let(o, &a);
	a = ops_unary(o, b, SAVE_RESULT); /* tanh */
	ops_let(o, &b);
	b = ops_copy(o, a);
	ops_let(o, &a);
	a = ops_mul(o, half, b);
	ops_let(o, &half);
	ops_let(o, &b);
	return a;
}

/* 1 + erf(), whose backward holds the square, its negative, the exponential and its multiple */
static struct ten one_and_erf(struct ops *o, struct ten x)
{
	struct ten erf = ops_unary_beside(o, x, SAVE_INPUT, 4),
	           result = ops_copy(o, erf);

	ops_let(o, &erf);
	return result;
}

static struct ten gelu_python(struct ops *o, struct ten x)
{
	struct ten half = ops_unary(o, x, SAVE_NONE),
	           scaled = ops_unary(o, x, SAVE_NONE), share = one_and_erf(o, scaled),
	           result;

	ops_let(o, &scaled);
	result = ops_mul(o, half, share);
	ops_let(o, &half);
	ops_let(o, &share);
	return result;
}

static struct ten gelu_clipped(struct ops *o, struct ten x)
{
	struct ten gelu = ops_unary(o, x, SAVE_INPUT), result = ops_clamp(o, gelu);

	ops_let(o, &gelu);
	return result;
}

/* (1 + erf((x - a) / b)) / 2 */
static struct ten laplace(struct ops *o, struct ten x)
{
	struct ten moved = ops_copy(o, x), scaled = ops_unary(o, moved, SAVE_NONE), sum,
	           result;

	ops_let(o, &moved);
	sum = one_and_erf(o, scaled);
	result = ops_unary(o, sum, SAVE_NONE);
	ops_let(o, &sum);
	ops_let(o, &scaled); /* a variable until the function returns */
	return result;
}

struct ten transformer_function(struct ops *o, enum mlp function, struct ten x)
{
	switch (function) {
	case MLP_GELU_NEW:
		return gelu_new(o, x);
	case MLP_GELU_FAST:
		return gelu_fast(o, x);
	case MLP_GELU_OWN:
		return gelu_own(o, x);
	case MLP_GELU_QUICK:
		return gelu_quick(o, x);
	case MLP_GELU_PYTHON:
		return gelu_python(o, x);
	case MLP_GELU_CLIPPED:
		return gelu_clipped(o, x);
	case MLP_RELU2:
		return relu_squared(o, x);
	case MLP_LAPLACE:
		return laplace(o, x);
	case MLP_LINEAR:
		return ops_hold(o, x);
	case MLP_RELU:
		return ops_unary(o, x, SAVE_RESULT);
	default:
		return ops_unary(o, x, SAVE_INPUT);
	}
}
