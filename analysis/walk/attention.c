/* attention.c - attention as Hugging Face's transformers 5 runs it: what is read of the stream, norms
 * of heads, rotary positions, and the matmul of what kernels.c gives.
 * Called from: walk/. */
#include "transformer.h"

/* x * cos + rotate_half(x) * sin */
static struct ten turned_whole(struct transformer *m, struct ten x)
{
	struct ops *o = &m->ops;
	struct ten left = ops_mul(o, x, m->cosine), first, second, minus, turned, right;

	first = ops_slice(o, x, x.count / 2);
	second = ops_slice(o, x, x.count / 2);
	minus = ops_unary(o, second, SAVE_NONE);
	ops_let(o, &second);
	turned = ops_cat(o, minus, first);
	ops_let(o, &minus);
	ops_let(o, &first);
	right = ops_mul(o, turned, m->sine);
	ops_let(o, &turned);
	turned = ops_add(o, left, right);
	ops_let(o, &left);
	ops_let(o, &right);
	return turned;
}

static struct ten rotated(struct transformer *m, struct ten x)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	int64_t part = x.count / s->head_dim * s->rotary;
	struct ten turns, stays, turned, all;

	if (s->rotation != ROTATION_PLAIN) { /* and back into the heads' width */
		turns = s->rotation == ROTATION_FP32 ? ops_to(o, x, 4) : ops_hold(o, x);
		turned = turned_whole(m, turns);
		ops_let(o, &turns);
		all = ops_to(o, turned, x.width);
		ops_let(o, &turned);
		return all;
	}
	if (!transformer_rotates_parts(s))
		return turned_whole(m, x);
	turns = ops_slice(o, x, part);
	stays = ops_slice(o, x, x.count - part);
	turned = turned_whole(m, turns);
	all = ops_cat(o, turned, stays);
	ops_let(o, &turned);
	ops_let(o, &turns);
	ops_let(o, &stays);
	return all;
}

/* Gradients that come head by head, [batch, heads, tokens, width], are laid out anew before the
 * matmul takes them token by token: ViewBackward reshapes what does not lie in order. A kernel of
 * PyTorch gives them as its operands lie. */
static struct ten relaid(struct transformer *m, const struct layer_weights *w,
                         enum lora_target which, struct ten x)
{
	enum kernel kernel = transformer_kernel(m, w, x.width);
	bool written = kernel == KERNEL_WRITTEN || kernel == KERNEL_COMPOSED,
	     turned = m->shape->rotary && !w->unturned && which != LORA_V,
	     repeats = kernel == KERNEL_MASKED && which != LORA_Q &&
	               m->shape->kv_heads != m->shape->heads;

	return written || turned || repeats ? ops_relaid(&m->ops, x) : x;
}

/* Queries and keys; GLM repeats the numbers of its tables anew in each layer. */
static void rotate_both(struct transformer *m, struct ten *q, struct ten *k)
{
	struct ops *o = &m->ops;
	struct ten cosine = m->cosine, sine = m->sine, turned, other;

	if (m->shape->own_tables) {
		m->cosine = ops_make(o, cosine.count, cosine.width);
		m->sine = ops_make(o, sine.count, sine.width);
	}
	turned = rotated(m, *q);
	other = rotated(m, *k);
	if (m->shape->own_tables) {
		ops_let(o, &m->cosine);
		ops_let(o, &m->sine);
	}
	m->cosine = cosine;
	m->sine = sine;
	ops_let(o, q);
	ops_let(o, k);
	*q = turned;
	*k = other;
}

/* What Olmo bounds in place: a copy is saved of what was there. */
static void clip(struct ops *o, struct ten *x)
{
	struct ten result = ops_unary(o, *x, SAVE_INPUT);

	ops_let(o, x);
	*x = result;
}

/* Laid out anew, in place of x. */
static struct ten apart(struct ops *o, struct ten x)
{
	struct ten result = ops_copy(o, x);

	ops_let(o, &x);
	return result;
}

/* x itself is given up. */
static struct ten normed_heads(struct transformer *m, const struct layer_weights *w,
                               enum lora_target which, struct ten x)
{
	const struct shape *s = m->shape;
	int64_t heads = which == LORA_Q ? s->heads : s->kv_heads;
	struct ten normed =
	        transformer_norm(m, x, which == LORA_Q ? &w->q_norm : &w->k_norm,
	                         s->whole_norm ? heads * s->head_dim : s->head_dim);

	ops_let(&m->ops, &x);
	return normed;
}

/* Queries, keys or values, each by a matmul of its own. */
static struct ten read_by_matmul(struct transformer *m, const struct layer_weights *w,
                                 enum lora_target which, struct ten x)
{
	const struct shape *s = m->shape;
	int64_t heads = which == LORA_Q ? s->heads : s->kv_heads;
	const struct ten weights[3] = {w->q, w->k, w->v},
	                 biases[3] = {w->q_bias, w->k_bias, w->v_bias};
	struct ten result = transformer_linear(m, w, which, x, weights[which - LORA_Q],
	                                       biases[which - LORA_Q], s->hidden,
	                                       heads * s->head_dim);

	if (s->scaled_queries && which == LORA_Q) {
		struct ten scaled = ops_unary(&m->ops, result, SAVE_NONE);
		ops_let(&m->ops, &result);
		result = scaled;
	}
	result = relaid(m, w, which, result);
	if (s->head_norm && s->norm_at_once && which != LORA_V)
		result = normed_heads(m, w, which, result);
	return s->family == FAMILY_WHISPER ? apart(&m->ops, result) : result;
}

/* All three by one matmul, of which they are views. */
static void split_matmul(struct transformer *m, const struct layer_weights *w,
                         struct ten x, struct ten *q, struct ten *k, struct ten *v)
{
	const struct shape *s = m->shape;
	int64_t inner = s->heads * s->head_dim, keys = s->kv_heads * s->head_dim, rows;
	struct ten all = transformer_linear(m, w, LORA_Q, x, w->q, w->q_bias, s->hidden,
	                                    inner + 2 * keys);
	tensor_id parts[3];

	rows = all.count / (inner + 2 * keys);
	tape_split(m->ops.tape, all.v, 3, parts);
	*q = relaid(m, w, LORA_Q, (struct ten){parts[0], rows * inner, all.width});
	*k = relaid(m, w, LORA_K, (struct ten){parts[1], rows * keys, all.width});
	*v = relaid(m, w, LORA_V, (struct ten){parts[2], rows * keys, all.width});
	ops_let(&m->ops, &all);
}

/* BERT's output matmul is a module of its own, which runs when the attention has returned and its
 * variables are gone. */
static bool dense_comes_after(enum family family)
{
	return family == FAMILY_BERT || family == FAMILY_ROBERTA ||
	       family == FAMILY_ELECTRA;
}

/* Keys and values are read from source. */
static struct ten attention(struct transformer *m, const struct layer_weights *w,
                            struct ten x, struct ten source, struct ten *weights)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten q, k, v, result, out;

	*weights = none;
	if (transformer_is_older(s))
		return transformer_older_attention(m, w, x, weights);
	if (s->fused) {
		split_matmul(m, w, x, &q, &k, &v);
	} else {
		q = read_by_matmul(m, w, LORA_Q, x);
		k = read_by_matmul(m, w, LORA_K, source);
		v = read_by_matmul(m, w, LORA_V, source);
	}
	if (s->clipped) {
		clip(o, &q);
		clip(o, &k);
		clip(o, &v);
	}
	if (s->head_norm && !s->norm_at_once) {
		q = normed_heads(m, w, LORA_Q, q);
		k = normed_heads(m, w, LORA_K, k);
	}
	if (s->rotary && !w->unturned)
		rotate_both(m, &q, &k);
	result = transformer_attended(m, w, q, k, v, weights);
	if (dense_comes_after(s->family)) {
		ops_let(o, &q);
		ops_let(o, &k);
		ops_let(o, &v);
	}
	out = transformer_linear(m, w, LORA_O, result, w->o, w->o_bias,
	                         s->heads * s->head_dim, s->hidden);
	ops_let(o, &result);
	ops_let(o, &q);
	ops_let(o, &k);
	ops_let(o, &v);
	return out;
}

struct ten transformer_attention(struct transformer *m, const struct layer_weights *w,
                                 struct ten x, struct ten *weights)
{
	return attention(m, w, x, x, weights);
}

struct ten transformer_attention_to_memory(struct transformer *m,
                                           const struct layer_weights *w, struct ten x,
                                           struct ten *weights)
{
	struct ten mask = m->mask, result;

	m->keys = m->training->seq;
	m->mask = none;
	result = attention(m, w, x, m->memory, weights);
	m->mask = mask;
	m->keys = m->seq;
	return result;
}
