/* kernels.c - what attends: one of PyTorch's kernels, or the operators one by one, as Hugging Face's
 * transformers 5 chooses them.
 * Called from: walk/. */
#include "transformer.h"

/* Phi-3 puts the parts together where one of them is empty, too. */
bool transformer_rotates_parts(const struct shape *s)
{
	return s->rotary &&
	       (s->rotary != s->head_dim || s->own_tables || s->family == FAMILY_PHI3);
}

/* Where a part of each head is rotated, the parts are put together anew, one head after the other;
 * elsewhere the heads of one token lie side by side, as the matmul gave them. Whisper lays out all
 * heads anew, of values too. */
static bool heads_apart(const struct shape *s)
{
	return transformer_rotates_parts(s) || s->family == FAMILY_WHISPER;
}

/* Elements of a head's values. */
static int64_t value_of(const struct shape *s)
{
	return s->latent.keys ? s->latent.value : s->head_dim;
}

/* A kernel's operands, under autocast in 16 bits: saved, and each gets a gradient of its size. */
static void take_operands(struct ops *o, struct ten *in, int count, struct op *op)
{
	for (int i = count - 1; i >= 0; i--) { /* autocast takes the last first */
		in[i] = o->half ? ops_to(o, in[i], o->half) : ops_hold(o, in[i]);
		op->in[i] = op->saves[i] = in[i].v;
		op->give[i] = GIVE_NEW;
		op->grad[i] = in[i].count * in[i].width;
	}
}

static void let_operands(struct ops *o, struct ten *in, int count)
{
	for (int i = 0; i < count; i++)
		ops_let(o, &in[i]);
}

/* Before Ampere PyTorch has no flash attention, and no kernel of attention for bf16. Source:
 * aten/src/ATen/native/transformers/cuda/sdp_utils.cpp. */
static bool is_older(const struct transformer *m)
{
	return m->ops.silicon->major < 8;
}

/* What the backward of the memory-efficient kernel works in: a sum for each row, which in fp32 comes
 * of a product, and the queries' gradient in fp32, tile by tile with a lock each. A tile is 128 rows
 * high where heads are wide and the card's blocks have the room. Source: attention_backward.cu and
 * mem_eff_attention/kernel_backward.h in aten/src/ATen/native/transformers/cuda, PyTorch 2.11. */
void kernel_efficient_backward(const struct ops *o, struct op *op,
                               const struct attending *by, int width)
{
	enum { NARROW = 64, LOCK = 16, ROOMY = 2048 };
	const struct silicon *card = o->silicon;
	bool roomy = width == 2 || (card->major >= 8 && card->threads >= ROOMY);
	int64_t wide = by->value > by->head_dim ? by->value : by->head_dim,
	        high = wide > NARROW && roomy ? 2 * NARROW : NARROW,
	        tiles = (by->queries + high - 1) / high *
	                ((by->head_dim + NARROW - 1) / NARROW);

	if (width == 4)
		op->passing = width * by->heads * by->queries * by->value;
	op->after[0] = 4 * by->heads * by->queries;
	op->after[1] = by->heads * tiles * (4 * NARROW * high + LOCK);
}

static void efficient_backward(const struct transformer *m, struct op *op, int width)
{
	const struct attending by = {.heads = m->batch * m->shape->heads,
	                             .queries = m->seq,
	                             .head_dim = m->shape->head_dim,
	                             .value = value_of(m->shape)};

	kernel_efficient_backward(&m->ops, op, &by, width);
}

/* flash attention in 16 bits, the memory-efficient kernel in fp32 and on cards before Ampere. */
static struct ten fused_attention(struct transformer *m, struct ten q, struct ten k,
                                  struct ten v)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten in[3] = {q, k, v}, result, sums;
	int64_t rows = m->batch * s->heads * m->seq;
	int64_t rounded = (m->seq + 127) / 128 * 128,
	        wide = (s->head_dim + 31) / 32 * 32;
	struct op op = {.inputs = 3};

	bool flash;

	take_operands(o, in, 3, &op);
	/* flash attention wants values as wide as keys: check_head_dim_size_flash() */
	flash = in[0].width == 2 && !is_older(m) && value_of(s) == s->head_dim;
	result = ops_make(o, rows * value_of(s), in[0].width);
	sums = ops_make(o, rows, 4);
	op.saves[3] = result.v;
	op.saves[4] = sums.v;
	op.save_count = 5;
	if (!flash)
		efficient_backward(m, &op, in[0].width);
	if (flash) {
		op.after[0] = 4 * m->batch * s->heads * rounded;
		op.after[1] = 4 * m->batch * rounded * s->heads * wide;
		if (s->kv_heads != s->heads)
			op.after[2] = op.after[3] = in[0].count * in[0].width;
	}
	if (in[0].width == 2 && value_of(s) == s->head_dim &&
	    heads_apart(s)) /* of the gradient, laid out as flash takes it */
		op.before[0] = result.count * result.width;
	tape_record(o->tape, &op, result.v);
	ops_let(o, &sums);
	let_operands(o, in, 3);
	if (flash && heads_apart(s)) {
		/* flash attention's result lies as the queries do: laid out anew */
		struct ten copy = ops_copy(o, result);
		ops_let(o, &result);
		return copy;
	}
	return result;
}

/* T5's: a bias is added to the scores, which takes the memory-efficient kernel in 16 bits too. The
 * bias is laid out anew for each layer, a decoder's with what it must not see filled in. Source:
 * integrations/sdpa_attention.py, transformers 5.23; _scaled_dot_product_efficient_attention. */
static struct ten laid_bias(struct transformer *m)
{
	struct ops *o = &m->ops;
	struct op op = {.in = {m->bias.v},
	                .give = {GIVE_NEW},
	                .grad = {m->bias.count * m->bias.width},
	                .inputs = 1,
	                .save_count = 1};
	struct ten seen, filled, result;

	if (m->bias.v == m->cross_bias.v)
		return ops_hold(o, m->bias);
	if (m->bias.v == m->stack_bias[0].v)
		return ops_copy(o, m->bias);
	seen = ops_make(o, m->seq * m->keys, 1);
	op.saves[0] = seen.v;
	filled = (struct ten){tape_result(o->tape, &op, op.grad[0]), m->bias.count,
	                      m->bias.width};
	ops_let(o, &seen);
	result = ops_copy(o, filled);
	ops_let(o, &filled);
	return result;
}

static struct ten biased_attention(struct transformer *m, struct ten q, struct ten k,
                                   struct ten v)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten in[4] = {q, k, v, laid_bias(m)}, own = in[3], result, sums;
	int64_t rows = m->batch * s->heads * m->seq;
	struct op op = {.inputs = 4, .save_count = 6};

	take_operands(o, in, 4, &op);
	efficient_backward(m, &op, in[0].width);
	ops_let(o, &own);
	if (m->batch > 1)
		op.give[3] = GIVE_SUM; /* it is made for each sample */
	op.wide = rows * m->keys * in[3].width;
	result = ops_make(o, in[0].count, in[0].width);
	sums = ops_make(o, rows, 4);
	op.saves[4] = result.v;
	op.saves[5] = sums.v;
	tape_record(o->tape, &op, result.v);
	ops_let(o, &sums);
	let_operands(o, in, 4);
	return result;
}

struct ten transformer_each_head(struct transformer *m, struct ten x)
{
	const struct shape *s = m->shape;
	int64_t count = x.count / s->kv_heads * s->heads;
	struct op op = {.in = {x.v},
	                .give = {GIVE_NEW}, /* the sum over the copies of a head */
	                .grad = {x.count * x.width},
	                .inputs = 1};

	if (s->kv_heads == s->heads)
		return ops_hold(&m->ops, x);
	return (struct ten){tape_result(m->ops.tape, &op, count * x.width), count,
	                    x.width};
}

/* The keys or values once for each head; or so they were read. */
static struct ten repeated(struct transformer *m, struct ten x)
{
	return m->shape->grouped ? ops_hold(&m->ops, x) : transformer_each_head(m, x);
}

/* The same by repeat_kv() of transformers: a view where all heads share one. */
struct ten transformer_shared(struct transformer *m, struct ten x)
{
	struct op op = {.in = {x.v},
	                .give = {GIVE_NEW},
	                .grad = {x.count * x.width},
	                .inputs = 1};

	if (m->shape->kv_heads != 1 || m->shape->heads == 1)
		return repeated(m, x);
	return (struct ten){tape_view(m->ops.tape, &op, x.v), x.count * m->shape->heads,
	                    x.width};
}

/* Does a matmul lay such a view out anew? Where autocast casts it, the cast has done so. */
static bool is_spread(const struct transformer *m, struct ten x)
{
	return m->shape->kv_heads == 1 && m->shape->heads > 1 &&
	       (!m->ops.half || x.width == m->ops.half);
}

/* The product of queries and keys; copied: the keys do not lie in order. */
static struct ten scores_of(struct transformer *m, struct ten q, struct ten keys,
                            bool copied)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten in[2] = {q, keys}, scores;

	ops_lay_out(o, in, !heads_apart(s), copied);
	scores = ops_bmm(o, in[0], in[1], m->batch * s->heads * m->seq * m->keys);
	ops_let(o, &in[0]);
	ops_let(o, &in[1]);
	return scores;
}

/* Plus the mask, which autocast leaves as wide as it is; an encoder without padding has none. */
static struct ten masked(struct transformer *m, struct ten scores)
{
	if (m->mask.v == NO_TENSOR)
		return ops_hold(&m->ops, scores);
	return m->mask.width > scores.width ? ops_to(&m->ops, scores, m->mask.width)
	                                    : ops_copy(&m->ops, scores);
}

/* Written out, as eager_attention_forward() does it; weights: what it returns beside. */
static struct ten written_attention(struct transformer *m, struct ten q, struct ten k,
                                    struct ten v, struct ten *weights)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	bool transposed = s->kv_heads == s->heads; /* repeated ones lie in order */
	struct ten keys = transformer_shared(m, k), values = transformer_shared(m, v),
	           a, b, in[2], result;

	a = scores_of(m, q, keys, is_spread(m, k) || (transposed && !heads_apart(s)));
	b = ops_unary(o, a, SAVE_NONE); /* times the scale */
	ops_let(o, &a);
	if (s->score_cap)
		b = transformer_capped(o, b);
	if (m->bias.v != NO_TENSOR) {
		a = ops_add(o, b, m->bias);
		ops_let(o, &b);
		b = a;
	}
	a = masked(m, b);
	ops_let(o, &b);
	b = ops_softmax(o, a, s->softmax_fp32 || o->half ? 4 : a.width);
	/* BERT's kind and models of two stacks leave what autocast made of it */
	result = !s->softmax_fp32 && (s->encoder || s->decoder_layers)
	                 ? ops_hold(o, b)
	                 : ops_to(o, b, q.width);
	ops_let(o, &b);
	ops_let(o, &a);
	a = result;
	*weights = ops_dropout(o, a, s->attention_dropout && m->training->dropout);
	ops_let(o, &a);
	in[0] = *weights;
	in[1] = values;
	ops_lay_out(o, in, false,
	            is_spread(m, v) || (transposed && s->family != FAMILY_WHISPER));
	result = ops_relaid(
	        o, ops_bmm(o, in[0], in[1], q.count / s->head_dim * value_of(s)));
	ops_let(o, &in[0]);
	ops_let(o, &in[1]);
	a = ops_copy(o, result); /* transposed and laid out anew */
	ops_let(o, &result);
	ops_let(o, &keys);
	ops_let(o, &values);
	return a;
}

/* A batched product in the width of its operands, autocast or not; first, second: is that one laid
 * out anew for it? */
static struct ten multiplied(struct ops *o, struct ten a, struct ten b, bool first,
                             bool second, int64_t count)
{
	struct ten in[2] = {a, b}, result;

	ops_lay_out_wide(o, in, first, second);
	result = ops_bmm(o, in[0], in[1], count);
	ops_let(o, &in[0]);
	ops_let(o, &in[1]);
	return result;
}

/* What no kernel takes, PyTorch writes out itself, in fp32: fewer keys than heads without flash
 * attention, and bf16 on a card that has none. What it gives beside the result, the scores after the
 * softmax, nobody reads. Source: _scaled_dot_product_attention_math, _safe_softmax. */
static struct ten composed_attention(struct transformer *m, struct ten q, struct ten k,
                                     struct ten v)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	bool own = s->kv_heads == s->heads;       /* repeated heads lie in order */
	bool spread = s->family == FAMILY_FALCON; /* by the matmul itself */
	bool drops = s->attention_dropout && m->training->dropout;
	struct ten in[3] = {q, k, v}, wide[3], given[3], scaled[2], scores, soft,
	           beside, kept, result, out;
	struct op op = {.inputs = 3};

	take_operands(o, in, 3, &op);
	for (int i = 0; i < 3; i++)
		wide[i] = ops_to(o, in[i], 4);
	scaled[0] = ops_unary(o, wide[0], SAVE_NONE);
	for (int i = 1; i < 3; i++) {
		given[i] = wide[i];
		wide[i] = spread ? transformer_shared(m, given[i])
		                 : repeated(m, given[i]);
	}
	scaled[1] = ops_unary(o, wide[1], SAVE_NONE);
	scores = multiplied(o, scaled[0], scaled[1], !heads_apart(s),
	                    spread || (own && !heads_apart(s)),
	                    m->batch * s->heads * m->seq * m->keys);
	ops_let(o, &scaled[1]);
	soft = ops_softmax(o, scores, 4); /* a mask was added in place */
	beside = ops_make(o, soft.count, 1);
	ops_let(o, &beside);
	ops_let(o, &scores);
	kept = ops_dropout(o, soft, drops);
	ops_let(o, &soft);
	beside = ops_to(o, kept, in[2].width);
	result = ops_relaid(
	        o, multiplied(o, kept, wide[2], false, own || spread, q.count));
	ops_let(o, &kept);
	out = ops_to(o, result, in[2].width);
	for (int i = 1; i < 3; i++)
		ops_let(o, &given[i]);
	ops_let(o, &result);
	ops_let(o, &scaled[0]);
	for (int i = 2; i >= 0; i--)
		ops_let(o, &wide[i]);
	ops_let(o, &beside);
	let_operands(o, in, 3);
	result = ops_copy(o, out);
	ops_let(o, &out);
	return result;
}

/* What a token may see is said by a mask, from which each layer makes what is added to the scores:
 * the memory-efficient kernel alone takes it, with keys and values repeated for each head. Source:
 * use_gqa_in_sdpa() of transformers' sdpa_attention.py; convert_boolean_attn_mask() and
 * _efficient_attention_backward() of PyTorch 2.11. */
static struct ten masked_attention(struct transformer *m, struct ten q, struct ten k,
                                   struct ten v)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	int width = o->half ? o->half : q.width;
	struct ten keys = repeated(m, k), values = repeated(m, v),
	           bias = ops_make(o, m->batch * m->seq * m->seq, width),
	           in[3] = {q, keys, values}, result, sums;
	struct op op = {.inputs = 3, .save_count = 6};

	take_operands(o, in, 3, &op);
	result = ops_make(o, in[0].count, width);
	sums = ops_make(o, m->batch * s->heads * ((m->seq + 31) / 32 * 32), 4);
	op.saves[3] = result.v;
	op.saves[4] = sums.v;
	op.saves[5] = bias.v;
	efficient_backward(m, &op, width);
	tape_record(o->tape, &op, result.v);
	ops_let(o, &sums);
	ops_let(o, &bias);
	let_operands(o, in, 3);
	ops_let(o, &keys);
	ops_let(o, &values);
	return result;
}

bool transformer_lacks_bf16(const struct transformer *m)
{
	bool half = m->ops.half || m->wide == 2;

	return is_older(m) && half && !m->ops.fp16 &&
	       m->training->attention == ATTENTION_FLASH;
}

enum kernel transformer_kernel(const struct transformer *m,
                               const struct layer_weights *w, int width)
{
	if (m->training->attention != ATTENTION_FLASH)
		return KERNEL_WRITTEN;
	if (m->bias.v != NO_TENSOR)
		return KERNEL_BIASED;
	if (transformer_lacks_bf16(m))
		return KERNEL_COMPOSED;
	if (w->windowed && m->seq >= m->shape->window)
		return KERNEL_MASKED;
	if (m->shape->family == FAMILY_FALCON) /* which makes its mask at all times */
		return m->shape->kv_heads == m->shape->heads || m->shape->grouped
		               ? KERNEL_MASKED
		               : KERNEL_COMPOSED;
	if (m->shape->kv_heads != m->shape->heads &&
	    (is_older(m) || (!m->ops.half && width == 4)))
		return KERNEL_COMPOSED;
	return KERNEL_FUSED;
}

struct ten transformer_attended(struct transformer *m, const struct layer_weights *w,
                                struct ten q, struct ten k, struct ten v,
                                struct ten *weights)
{
	switch (transformer_kernel(m, w, q.width)) {
	case KERNEL_WRITTEN:
		return written_attention(m, q, k, v, weights);
	case KERNEL_BIASED:
		return biased_attention(m, q, k, v);
	case KERNEL_MASKED:
		return masked_attention(m, q, k, v);
	case KERNEL_COMPOSED:
		return composed_attention(m, q, k, v);
	default:
		return fused_attention(m, q, k, v);
	}
}
