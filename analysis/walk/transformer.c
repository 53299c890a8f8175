/* transformer.c - a transformer's layers as Hugging Face's transformers 5 runs them.
 * A Python variable holds what it names until it is given another value or its function returns;
 * that decides what stands at the peak as much as what autograd saves.
 * Called from: walk.c. */
#include "transformer.h"

#include <stdlib.h>

#include "heap.h"

static const struct ten none = {.v = NO_VALUE};

static struct ten weight(struct transformer *m, int64_t rows, int64_t columns)
{
	int64_t count = rows * columns;
	struct ten made = {.count = count, .width = m->wide};

	made.v = tape_weight(m->ops.tape, count * m->wide, true);
	if (m->count == m->room) {
		size_t room = m->room;
		m->list = grow(m->list, m->count, &room, sizeof(*m->list));
		m->sizes = grow(m->sizes, m->count, &m->room, sizeof(*m->sizes));
	}
	m->list[m->count] = made.v;
	m->sizes[m->count++] = count;
	m->elements += count;
	return made;
}

static struct ten bias(struct transformer *m, bool there, int64_t rows)
{
	return there ? weight(m, rows, 1) : none;
}

static struct norm_weights norm_of(struct transformer *m, int64_t over)
{
	return (struct norm_weights){
	        .weight = weight(m, over, 1),
	        .bias = bias(m, m->shape->norm == NORM_LAYER, over)};
}

static void make_layer(struct transformer *m, struct layer_weights *w)
{
	const struct shape *s = m->shape;
	int64_t inner = s->heads * s->head_dim, keys = s->kv_heads * s->head_dim;
	bool gated = s->mlp == MLP_GATED;

	*w = (struct layer_weights){.k = none,
	                            .v = none,
	                            .k_bias = none,
	                            .v_bias = none,
	                            .gate = none,
	                            .up = none,
	                            .q_norm = {none, none},
	                            .k_norm = {none, none}};
	w->q = weight(m, s->fused ? inner + 2 * keys : inner, s->hidden);
	w->q_bias = bias(m, s->qkv_bias, s->fused ? inner + 2 * keys : inner);
	if (!s->fused) {
		w->k = weight(m, keys, s->hidden);
		w->k_bias = bias(m, s->qkv_bias, keys);
		w->v = weight(m, keys, s->hidden);
		w->v_bias = bias(m, s->qkv_bias, keys);
	}
	w->o = weight(m, inner, s->hidden);
	w->o_bias = bias(m, s->out_bias, s->hidden);
	if (s->head_norm) {
		w->q_norm.weight = weight(m, s->head_dim, 1);
		w->k_norm.weight = weight(m, s->head_dim, 1);
	}
	if (gated)
		w->gate = weight(m, s->fused ? 2 * s->ffn : s->ffn, s->hidden);
	if (!gated || !s->fused)
		w->up = weight(m, s->ffn, s->hidden);
	w->up_bias = bias(m, s->mlp_bias, s->ffn);
	w->down = weight(m, s->hidden, s->ffn);
	w->down_bias = bias(m, s->mlp_bias, s->hidden);
	w->norm[0] = norm_of(m, s->hidden);
	w->norm[1] = norm_of(m, s->hidden);
}

bool transformer_make(struct transformer *m)
{
	const struct shape *s = m->shape;

	if (s->patch || s->head != HEAD_LM || s->norms != 2 || s->embedding_norm ||
	    (s->rotary && s->rotary != s->head_dim) || s->parallel)
		return false;
	m->embedding = weight(m, s->vocab, s->hidden);
	m->positions = bias(m, s->positions > 0, s->positions * s->hidden);
	m->types = bias(m, s->types > 0, s->types * s->hidden);
	m->layers = allocate((size_t)(m->layer_count + 1) * sizeof(*m->layers));
	for (int64_t i = 0; i < m->layer_count; i++)
		make_layer(m, &m->layers[i]);
	if (s->final_norm)
		m->final_norm = norm_of(m, s->hidden);
	m->head = s->tied ? m->embedding : weight(m, s->vocab, s->hidden);
	m->head_bias = bias(m, s->head_bias, s->vocab);
	return true;
}

void transformer_free(struct transformer *m)
{
	free(m->layers);
	free(m->contexts);
	free(m->list);
	free(m->sizes);
}

/* ---- norms ------------------------------------------------------------------------------- */

/* x * rsqrt(mean(x ** 2) + eps), in fp32; x is held by the caller. */
static struct ten normalised(struct ops *o, struct ten x, int64_t over)
{
	struct ten square = ops_unary(o, x, SAVE_INPUT),
	           mean = ops_mean(o, square, over);
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

static struct ten rms_norm(struct ops *o, struct ten x, struct ten weight, int64_t over)
{
	struct ten wide = ops_to(o, x, 4), result = normalised(o, wide, over), back,
	           out;

	ops_let(o, &wide);
	back = ops_to(o, result, x.width);
	out = ops_mul(o, weight, back);
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
	out = ops_mul(o, result, more);
	ops_let(o, &more);
	ops_let(o, &result);
	scale = ops_to(o, out, x.width);
	ops_let(o, &out);
	return scale;
}

static struct ten norm(struct transformer *m, struct ten x,
                       const struct norm_weights *w, int64_t over)
{
	switch (m->shape->norm) {
	case NORM_RMS:
		return rms_norm(&m->ops, x, w->weight, over);
	case NORM_RMS_FP32:
		return rms_norm_fp32(&m->ops, x, w->weight, over);
	default:
		return ops_layer_norm(&m->ops, x, w->weight, w->bias, over);
	}
}

/* ---- attention --------------------------------------------------------------------------- */

/* x * cos + rotate_half(x) * sin */
static struct ten rotated(struct transformer *m, struct ten x)
{
	struct ops *o = &m->ops;
	struct ten left = ops_mul(o, x, m->cosine), halves[2], minus, turned, right,
	           sum;

	for (int i = 0; i < 2; i++) { /* a slice: its backward makes the whole again */
		struct op slice = {.in = {x.v},
		                   .give = {GIVE_NEW},
		                   .grad = {x.count * x.width},
		                   .inputs = 1};
		halves[i] = (struct ten){tape_view(o->tape, &slice, x.v), x.count / 2,
		                         x.width};
	}
	minus = ops_unary(o, halves[1], SAVE_NONE);
	minus.count = x.count / 2;
	ops_let(o, &halves[1]);
	{
		struct op cat = {.in = {minus.v, halves[0].v},
		                 .give = {GIVE_SAME, GIVE_SAME},
		                 .inputs = 2};
		turned = (struct ten){tape_result(o->tape, &cat, x.count * x.width),
		                      x.count, x.width};
	}
	ops_let(o, &minus);
	ops_let(o, &halves[0]);
	right = ops_mul(o, turned, m->sine);
	ops_let(o, &turned);
	sum = ops_add(o, left, right);
	ops_let(o, &left);
	ops_let(o, &right);
	return sum;
}

/* flash attention in 16 bits, the memory-efficient kernel in fp32. */
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

	for (int i = 0; i < 3; i++) {
		in[i] = o->half ? ops_to(o, in[i], o->half) : ops_hold(o, in[i]);
		op.in[i] = op.saves[i] = in[i].v;
		op.give[i] = GIVE_NEW;
		op.grad[i] = in[i].count * in[i].width;
	}
	result = ops_make(o, in[0].count, in[0].width);
	sums = ops_make(o, rows, 4);
	op.saves[3] = result.v;
	op.saves[4] = sums.v;
	op.save_count = 5;
	op.temp = 4 * m->batch * s->heads * rounded;
	if (in[0].width == 2) {
		op.temp += 4 * m->batch * rounded * s->heads * wide;
		if (s->kv_heads != s->heads)
			op.temp += 2 * in[0].count * in[0].width;
	}
	tape_record(o->tape, &op, result.v);
	ops_let(o, &sums);
	for (int i = 0; i < 3; i++)
		ops_let(o, &in[i]);
	return result;
}

/* The keys or values once for each head. */
static struct ten repeated(struct transformer *m, struct ten x)
{
	const struct shape *s = m->shape;
	int64_t count = x.count / s->kv_heads * s->heads;
	struct op op = {.in = {x.v},
	                .give = {GIVE_SUM},
	                .grad = {x.count * x.width},
	                .wide = 0,
	                .inputs = 1};

	if (s->kv_heads == s->heads)
		return ops_hold(&m->ops, x);
	op.give[0] = GIVE_NEW; /* the sum over the copies of a head */
	return (struct ten){tape_result(m->ops.tape, &op, count * x.width), count,
	                    x.width};
}

/* Written out, as eager_attention_forward() does it; weights: what it returns beside. */
static struct ten written_attention(struct transformer *m, struct ten q, struct ten k,
                                    struct ten v, struct ten *weights)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	int64_t scores = m->batch * s->heads * m->seq * m->seq;
	struct ten keys = repeated(m, k), values = repeated(m, v), one, other, result,
	           a;

	q = o->half ? ops_to(o, q, o->half) : ops_hold(o, q);
	one = ops_copy(o, q); /* matmul lays out what is transposed anew */
	ops_let(o, &q);
	other = o->half ? ops_to(o, keys, o->half) : ops_hold(o, keys);
	a = ops_copy(o, other);
	ops_let(o, &other);
	other = a;
	a = ops_bmm(o, one, other, scores);
	ops_let(o, &one);
	ops_let(o, &other);
	one = ops_unary(o, a, SAVE_NONE); /* times the scale */
	ops_let(o, &a);
	a = ops_unary(o, one, SAVE_NONE); /* plus the mask */
	ops_let(o, &one);
	one = ops_softmax(o, a, s->softmax_fp32 || o->half ? 4 : a.width);
	ops_let(o, &a);
	a = ops_to(o, one, v.width);
	ops_let(o, &one);
	one = ops_dropout(o, a, s->dropout && m->training->dropout);
	ops_let(o, &a);
	other = o->half ? ops_to(o, values, o->half) : ops_hold(o, values);
	a = ops_copy(o, other);
	ops_let(o, &other);
	result = ops_bmm(o, one, a, q.count);
	ops_let(o, &a);
	ops_let(o, &keys);
	ops_let(o, &values);
	*weights = one;
	a = ops_copy(o, result); /* transposed and laid out anew */
	ops_let(o, &result);
	return a;
}

static struct ten attention(struct transformer *m, const struct layer_weights *w,
                            struct ten x, struct ten *weights)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	int64_t inner = s->heads * s->head_dim, keys = s->kv_heads * s->head_dim;
	struct ten q, k, v, result, out;

	*weights = none;
	if (s->fused) {
		struct ten all =
		        ops_linear(o, x, w->q, w->q_bias, s->hidden, inner + 2 * keys);
		value parts[3];
		tape_split(o->tape, all.v, 3, parts);
		q = (struct ten){parts[0], all.count / 3, all.width};
		k = (struct ten){parts[1], all.count / 3, all.width};
		v = (struct ten){parts[2], all.count / 3, all.width};
		ops_let(o, &all);
	} else {
		q = ops_linear(o, x, w->q, w->q_bias, s->hidden, inner);
		k = ops_linear(o, x, w->k, w->k_bias, s->hidden, keys);
		v = ops_linear(o, x, w->v, w->v_bias, s->hidden, keys);
	}
	if (s->head_norm) {
		struct ten normed = norm(m, q, &w->q_norm, s->head_dim);
		ops_let(o, &q);
		q = normed;
		normed = norm(m, k, &w->k_norm, s->head_dim);
		ops_let(o, &k);
		k = normed;
	}
	if (s->rotary) {
		struct ten turned = rotated(m, q), other = rotated(m, k);
		ops_let(o, &q);
		ops_let(o, &k);
		q = turned;
		k = other;
	}
	result = m->training->attention == ATTENTION_FLASH
	                 ? fused_attention(m, q, k, v)
	                 : written_attention(m, q, k, v, weights);
	out = ops_linear(o, result, w->o, w->o_bias, inner, s->hidden);
	ops_let(o, &result);
	ops_let(o, &q);
	ops_let(o, &k);
	ops_let(o, &v);
	return out;
}

/* ---- feed-forward ------------------------------------------------------------------------ */

/* 0.5 * x * (1 + tanh(c * (x + 0.044715 * x ** 3))), operator by operator */
static struct ten gelu_new(struct ops *o, struct ten x)
{
	struct ten half = ops_unary(o, x, SAVE_NONE);
	struct ten wide =
	        o->half ? ops_to(o, x, 4) : ops_hold(o, x); /* pow() is fp32 */
	struct ten cube = ops_unary(o, wide, SAVE_INPUT),
	           a = ops_unary(o, cube, SAVE_NONE);
	struct ten b, result;

	ops_let(o, &wide);
	ops_let(o, &cube);
	b = ops_add(o, x, a);
	ops_let(o, &a);
	a = ops_unary(o, b, SAVE_NONE);
	ops_let(o, &b);
	b = ops_unary(o, a, SAVE_RESULT); /* tanh */
	ops_let(o, &a);
	a = ops_unary(o, b, SAVE_NONE); /* one more */
	ops_let(o, &b);
	result = ops_mul(o, half, a);
	ops_let(o, &half);
	ops_let(o, &a);
	return result;
}

static struct ten activated(struct transformer *m, struct ten x)
{
	switch (m->shape->mlp) {
	case MLP_GELU_NEW:
		return gelu_new(&m->ops, x);
	case MLP_RELU:
		return ops_unary(&m->ops, x, SAVE_RESULT);
	default:
		return ops_unary(&m->ops, x, SAVE_INPUT);
	}
}

static struct ten feed_forward(struct transformer *m, const struct layer_weights *w,
                               struct ten x)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten gate, up, wide, out;

	if (s->mlp != MLP_GATED) {
		up = ops_linear(o, x, w->up, w->up_bias, s->hidden, s->ffn);
		wide = activated(m, up);
		ops_let(o, &up);
		out = ops_linear(o, wide, w->down, w->down_bias, s->ffn, s->hidden);
		ops_let(o, &wide);
		return out;
	}
	if (s->fused) {
		struct ten both =
		        ops_linear(o, x, w->gate, none, s->hidden, 2 * s->ffn);
		value parts[2];
		tape_split(o->tape, both.v, 2, parts);
		ops_let(o, &both);
		gate = (struct ten){parts[0], both.count / 2, both.width};
		up = (struct ten){parts[1], gate.count, gate.width};
		gate.count = up.count = x.count / s->hidden * s->ffn;
		gate.width = up.width = o->half ? o->half : x.width;
		wide = ops_unary(o, gate, SAVE_INPUT);
	} else {
		gate = ops_linear(o, x, w->gate, none, s->hidden, s->ffn);
		wide = ops_unary(o, gate, SAVE_INPUT);
		ops_let(o, &gate);
		up = ops_linear(o, x, w->up, none, s->hidden, s->ffn);
	}
	out = ops_mul(o, wide, up);
	ops_let(o, &wide);
	ops_let(o, &up);
	if (s->fused)
		ops_let(o, &gate);
	wide = ops_linear(o, out, w->down, none, s->ffn, s->hidden);
	ops_let(o, &out);
	return wide;
}

/* ---- the model --------------------------------------------------------------------------- */

struct one_layer {
	struct transformer *model;
	const struct layer_weights *weights;
};

static value run_layer(struct tape *tape, void *context, value input)
{
	struct one_layer *layer = context;
	struct transformer *m = layer->model;
	struct ops *o = &m->ops;
	bool drop = m->shape->dropout && m->training->dropout;
	struct ten x = {
	        input, m->tokens * m->shape->hidden,
	        (int)(tape_bytes(tape, input) / (m->tokens * m->shape->hidden))};
	struct ten h = norm(m, x, &layer->weights->norm[0], m->shape->hidden), weights;
	struct ten a = attention(m, layer->weights, h, &weights), b;

	b = ops_dropout(o, a, drop);
	ops_let(o, &a);
	ops_let(o, &h);
	a = ops_add(o, x, b);
	ops_let(o, &b);
	h = norm(m, a, &layer->weights->norm[1], m->shape->hidden);
	b = feed_forward(m, layer->weights, h);
	ops_let(o, &h);
	h = ops_dropout(o, b, drop);
	ops_let(o, &b);
	b = ops_add(o, a, h);
	ops_let(o, &h);
	ops_let(o, &a);
	if (weights.v != NO_VALUE)
		ops_let(o, &weights);
	return b.v;
}

static struct ten embedded(struct transformer *m)
{
	struct ops *o = &m->ops;
	struct ten x = ops_embedding(o, m->embedding, m->ids, m->shape->hidden), p, sum;

	if (m->shape->positions) {
		struct ten rows = ops_make(o, m->seq, 8);
		p = ops_embedding(o, m->positions, rows, m->shape->hidden);
		ops_let(o, &rows);
		sum = ops_add(o, x, p);
		ops_let(o, &p);
		ops_let(o, &x);
		x = sum;
	}
	sum = ops_dropout(o, x, m->shape->dropout && m->training->dropout);
	ops_let(o, &x);
	return sum;
}

/* The tables of the rotary embedding, of all layers. */
static void make_tables(struct transformer *m, int width)
{
	if (!m->shape->rotary)
		return;
	m->cosine = ops_make(&m->ops, m->seq * m->shape->head_dim, width);
	m->sine = ops_make(&m->ops, m->seq * m->shape->head_dim, width);
}

static struct ten loss_of(struct transformer *m, struct ten x)
{
	struct ops *o = &m->ops;
	struct ten logits = ops_linear(o, x, m->head, m->head_bias, m->shape->hidden,
	                               m->shape->vocab);
	struct ten wide = ops_to(o, logits, 4), loss;

	loss = ops_cross_entropy(o, wide, m->ids, m->shape->vocab);
	ops_let(o, &wide);
	ops_let(o, &logits);
	return loss;
}

void transformer_backward(struct transformer *m, value loss)
{
	tape_backward(m->ops.tape, loss);
	if (!m->shape->rotary)
		return;
	ops_let(&m->ops, &m->cosine);
	ops_let(&m->ops, &m->sine);
}

value transformer_forward(struct transformer *m)
{
	struct ops *o = &m->ops;
	struct ten x = embedded(m), next, loss;
	struct one_layer *list = allocate((size_t)(m->layer_count + 1) * sizeof(*list));
	bool again = m->training->checkpoint == CHECKPOINT_FULL;

	make_tables(m, x.width);
	for (int64_t i = 0; i < m->layer_count; i++) {
		list[i] = (struct one_layer){m, &m->layers[i]};
		next = x;
		next.v = again ? tape_checkpoint(o->tape, run_layer, &list[i], x.v)
		               : run_layer(o->tape, &list[i], x.v);
		ops_let(o, &x);
		x = next;
	}
	if (m->shape->final_norm) {
		next = norm(m, x, &m->final_norm, m->shape->hidden);
		ops_let(o, &x);
		x = next;
	}
	loss = loss_of(m, x);
	ops_let(o, &x);
	tape_autocast_ends(o->tape);
	free(m->contexts);
	m->contexts = list; /* the backward runs them again */
	return loss.v;
}
