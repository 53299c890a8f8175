/* norms.c - the norms of a transformer on a tape, and what caps its scores and logits.
 * Called from: walk/. */
#include "transformer.h"

/* x * rsqrt(mean(x ** 2) + eps), in fp32; x is held by the caller. */
static struct ten normalised(struct ops *o, struct ten x, int64_t over)
{
	struct ten square = ops_power(o, x), mean = ops_mean(o, square, over);
	struct ten shifted, root, result;

	ops_let(o, &square);
	shifted = ops_view(o, mean); /* + eps: one number a row */
	root = ops_unary(o, shifted, SAVE_RESULT);
	ops_let(o, &shifted);
	result = ops_mul(o, x, root);
	ops_let(o, &root);
	ops_let(o, &mean);
	return result;
}

struct ten transformer_bare_rms_norm(struct transformer *m, struct ten x, int64_t over)
{
	struct ops *o = &m->ops;
	struct ten wide = ops_to(o, x, 4), result = normalised(o, wide, over), out;

	ops_let(o, &wide);
	out = ops_to(o, result, x.width);
	ops_let(o, &result);
	return out;
}

static struct ten rms_norm(struct ops *o, struct ten x, struct ten weight, int64_t over)
{
	struct ten wide = ops_to(o, x, 4), result = normalised(o, wide, over), back,
	           out;

	ops_let(o, &wide);
	back = ops_to(o, result, x.width);
	out = ops_mul_rows(o, weight, back);
	ops_let(o, &back);
	ops_let(o, &result);
	return out;
}

/* Gemma's: times 1 + weight, in fp32. */
static struct ten rms_norm_fp32(struct ops *o, struct ten x, struct ten weight,
                                int64_t over)
{
	struct ten wide = ops_to(o, x, 4), result = normalised(o, wide, over), scale,
	           more, out;

	ops_let(o, &wide);
	scale = ops_to(o, weight, 4);
	more = ops_unary(o, scale, SAVE_NONE);
	ops_let(o, &scale);
	out = ops_mul_rows(o, result, more);
	ops_let(o, &more);
	ops_let(o, &result);
	scale = ops_to(o, out, x.width);
	ops_let(o, &out);
	return scale;
}

/* OLMo 2's: times the weight, in fp32. */
static struct ten rms_norm_wide(struct ops *o, struct ten x, struct ten weight,
                                int64_t over)
{
	struct ten wide = ops_to(o, x, 4), result = normalised(o, wide, over), out;

	ops_let(o, &wide);
	wide = ops_mul_rows(o, weight, result);
	out = ops_to(o, wide, x.width);
	ops_let(o, &wide);
	ops_let(o, &result);
	return out;
}

/* Cohere's: a LayerNorm operator by operator; what is left without the mean is made twice. */
static struct ten centered_norm(struct ops *o, struct ten x, struct ten weight,
                                int64_t over)
{
	struct ten wide = ops_to(o, x, 4), mean = ops_mean(o, wide, over);
	struct ten left = ops_subtract(o, wide, mean), square = ops_power(o, left),
	           variance, root, scale, out;

	ops_let(o, &left);
	variance = ops_mean(o, square, over);
	ops_let(o, &square);
	left = ops_subtract(o, wide, mean);
	square = ops_view(o, variance); /* + eps: one number a row */
	root = ops_unary(o, square, SAVE_RESULT);
	ops_let(o, &square);
	square = ops_mul(o, left, root);
	ops_let(o, &left);
	ops_let(o, &root);
	ops_let(o, &wide);
	scale = ops_to(o, weight, 4);
	wide = ops_mul_rows(o, scale, square);
	ops_let(o, &scale);
	ops_let(o, &square);
	out = ops_to(o, wide, x.width);
	ops_let(o, &wide);
	ops_let(o, &mean);
	ops_let(o, &variance);
	return out;
}

/* T5's: x itself, in its own width, times what a copy in fp32 gave. */
static struct ten rms_norm_t5(struct ops *o, struct ten x, struct ten weight,
                              int64_t over)
{
	struct ten wide = ops_to(o, x, 4), square = ops_power(o, wide), mean, shifted,
	           root, result, back;

	ops_let(o, &wide);
	mean = ops_mean(o, square, over);
	ops_let(o, &square);
	shifted = ops_view(o, mean); /* + eps: one number a row */
	root = ops_unary(o, shifted, SAVE_RESULT);
	ops_let(o, &shifted);
	result = ops_mul(o, x, root);
	ops_let(o, &root);
	back = ops_to(o, result, weight.width);
	ops_let(o, &result);
	result = ops_mul_rows(o, weight, back);
	ops_let(o, &back);
	ops_let(o, &mean);
	return result;
}

/* OLMo's: a LayerNorm in fp32 without weights. */
static struct ten bare_norm(struct ops *o, struct ten x, int64_t over)
{
	struct ten wide = ops_to(o, x, 4),
	           result = ops_layer_norm(o, wide, none, none, over), out;

	ops_let(o, &wide);
	out = ops_to(o, result, x.width);
	ops_let(o, &result);
	return out;
}

/* Nemotron's: a LayerNorm by 1 + weight; under autocast all it reads is cast to 16 bits. */
static struct ten one_plus_norm(struct ops *o, struct ten x,
                                const struct norm_weights *w, int64_t over)
{
	struct ops plain = {.tape = o->tape, .silicon = o->silicon, .fp16 = o->fp16};
	struct ten scale = ops_unary(o, w->weight, SAVE_NONE),
	           in[3] = {x, scale, w->bias}, result;

	for (int i = 0; i < 3; i++)
		in[i] = o->half ? ops_to(o, in[i], o->half) : ops_hold(o, in[i]);
	result = ops_layer_norm(&plain, in[0], in[1], in[2], over);
	for (int i = 0; i < 3; i++)
		ops_let(o, &in[i]);
	ops_let(o, &scale);
	return result;
}

struct ten transformer_norm(struct transformer *m, struct ten x,
                            const struct norm_weights *w, int64_t over)
{
	switch (m->shape->norm) {
	case NORM_RMS:
		return rms_norm(&m->ops, x, w->weight, over);
	case NORM_RMS_FP32:
		return rms_norm_fp32(&m->ops, x, w->weight, over);
	case NORM_RMS_WIDE:
		return rms_norm_wide(&m->ops, x, w->weight, over);
	case NORM_T5:
		return rms_norm_t5(&m->ops, x, w->weight, over);
	case NORM_CENTERED:
		return centered_norm(&m->ops, x, w->weight, over);
	case NORM_BARE:
		return bare_norm(&m->ops, x, over);
	case NORM_ONE_PLUS:
		return one_plus_norm(&m->ops, x, w, over);
	default:
		return ops_layer_norm(&m->ops, x, w->weight, w->bias, over);
	}
}

struct ten transformer_capped(struct ops *o, struct ten x)
{
	struct ten a = ops_unary(o, x, SAVE_NONE), b;

	ops_let(o, &x);
	b = ops_unary(o, a, SAVE_RESULT); /* tanh */
	ops_let(o, &a);
	a = ops_unary(o, b, SAVE_NONE);
	ops_let(o, &b);
	return a;
}
