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

/* Gradients that come head by head, [batch, heads, tokens, width], are laid out anew before the
 * matmul takes them token by token: ViewBackward reshapes what does not lie in order. A kernel of
 * PyTorch gives them as its operands lie. */
static struct ten relaid(struct transformer *m, const struct layer_weights *w,
                         enum lora_target which, struct ten x)
{
	enum kernel kernel = transformer_kernel(m, w, x.width);
	/* Llama 4's heads are turned while they lie by tokens yet */
	bool written = kernel == KERNEL_WRITTEN || kernel == KERNEL_COMPOSED,
	     turned = m->shape->rotary && !w->unturned && which != LORA_V &&
	              m->shape->family != FAMILY_LLAMA4,
	     repeats = kernel == KERNEL_MASKED && which != LORA_Q &&
	               m->shape->kv_heads != m->shape->heads;

	if ((which == LORA_Q ? m->shape->heads : m->shape->kv_heads) == 1)
		return x; /* one head lies in order either way */
	return written || turned || repeats ? ops_relaid(&m->ops, x) : x;
}

/* What a function's variables name until it returns. */
struct variables {
	struct ten list[8];
	int count;
};

static void keep(struct variables *local, struct ten x)
{
	local->list[local->count++] = x;
}

static void returns(struct ops *o, struct variables *local)
{
	for (int i = 0; i < local->count; i++)
		ops_let(o, &local->list[i]);
	local->count = 0;
}

/* In fp32 where the heads or the tables are; and back into the heads' width where the model does
 * so. */
void transformer_turn(struct transformer *m, struct ten heads[2])
{
	bool wide = m->shape->rotation == ROTATION_FP32;
	struct ops *o = &m->ops;
	struct ten read[2], turned[2], back[2];

	for (int i = 0; i < 2; i++)
		read[i] = wide ? ops_to(o, heads[i], 4) : ops_hold(o, heads[i]);
	for (int i = 0; i < 2; i++)
		turned[i] = turned_whole(m, read[i]);
	for (int i = 0; i < 2; i++)
		back[i] = m->shape->rotation == ROTATION_PLAIN
		                  ? ops_hold(o, turned[i])
		                  : ops_to(o, turned[i], heads[i].width);
	for (int i = 0; i < 2; i++)
		ops_let(o, &read[i]);
	for (int i = 0; i < 2; i++)
		ops_let(o, &turned[i]);
	for (int i = 0; i < 2; i++) {
		ops_let(o, &heads[i]);
		heads[i] = back[i];
	}
}

/* A part of each head, and the rest of it beside: both are turned, then put together; Phi-3 does it
 * to the queries and then to the keys. Phi and StableLM do it in the attention itself, whose
 * variables name the parts until it returns. */
static void turn_parts(struct transformer *m, struct ten *heads,
                       struct variables *attention)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct variables own = {.count = 0},
	                 *local = s->own_rotation ? attention : &own;
	struct ten parts[2], rests[2], turned[2];

	for (int i = 0; i < 2; i++) {
		int64_t part = heads[i].count / s->head_dim * s->rotary;
		parts[i] = ops_slice(o, heads[i], part);
		rests[i] = ops_slice(o, heads[i], heads[i].count - part);
	}
	for (int i = 0; i < 2; i++) {
		turned[i] = turned_whole(m, parts[i]);
		ops_let(o, &parts[i]);
		if (s->family == FAMILY_PHI3 || i == 1)
			for (int j = s->family == FAMILY_PHI3 ? i : 0; j <= i; j++) {
				struct ten all = ops_cat(o, turned[j], rests[j]);
				ops_let(o, &heads[j]);
				heads[j] = all;
				if (!s->own_rotation)
					ops_let(o, &turned[j]);
			}
	}
	for (int i = 0; i < 2; i++) {
		if (s->own_rotation)
			keep(local, turned[i]);
		keep(local, rests[i]);
	}
	returns(o, &own);
}

/* Queries and keys; GLM repeats the numbers of its tables anew in each layer. */
static void rotate_both(struct transformer *m, struct ten *q, struct ten *k,
                        struct variables *attention)
{
	struct ops *o = &m->ops;
	struct ten cosine = m->cosine, sine = m->sine, heads[2] = {*q, *k};

	if (m->shape->own_tables) {
		m->cosine = ops_make(o, cosine.count, cosine.width);
		m->sine = ops_make(o, sine.count, sine.width);
	}
	if (m->shape->rotation == ROTATION_PLAIN && transformer_rotates_parts(m->shape))
		turn_parts(m, heads, attention);
	else
		transformer_turn(m, heads);
	if (m->shape->own_tables) {
		ops_let(o, &m->cosine);
		ops_let(o, &m->sine);
	}
	m->cosine = cosine;
	m->sine = sine;
	*q = heads[0];
	*k = heads[1];
}

/* What Olmo bounds in place: a copy is saved of what was there. */
static void clip(struct ops *o, struct ten *x)
{
	struct ten result = ops_clamp(o, *x);

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
	if (!s->views_after)
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

/* BERT and its kind have that matmul in a module with the norm behind it: what it read is named by
 * who called the module, until the norm has run. MPT's adds the stream in the module. */
void transformer_let_read(struct transformer *m, struct ten *read)
{
	if (dense_comes_after(m->shape->family) || m->shape->family == FAMILY_MPT)
		m->named = *read;
	else
		ops_let(&m->ops, read);
}

/* Keys and values are read from source. */
static struct ten attention(struct transformer *m, const struct layer_weights *w,
                            struct ten x, struct ten source, struct ten *weights)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct variables local = {.count = 0};
	struct ten q, k, v, result, out;

	*weights = none;
	if (s->latent.keys)
		return latent_attention(m, w, x, weights);
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
	if (s->views_after) {
		q = relaid(m, w, LORA_Q, q);
		k = relaid(m, w, LORA_K, k);
		v = relaid(m, w, LORA_V, v);
	}
	if (s->head_norm && !s->norm_at_once) {
		q = normed_heads(m, w, LORA_Q, q);
		k = normed_heads(m, w, LORA_K, k);
	}
	if (s->family == FAMILY_LLAMA4)
		llama4_positions(m, w, &q, &k);
	else if (s->rotary && !w->unturned)
		rotate_both(m, &q, &k, &local);
	result = transformer_attended(m, w, q, k, v, weights);
	if (dense_comes_after(s->family)) {
		ops_let(o, &q);
		ops_let(o, &k);
		ops_let(o, &v);
	}
	out = transformer_linear(m, w, LORA_O, result, w->o, w->o_bias,
	                         s->heads * s->head_dim, s->hidden);
	transformer_let_read(m, &result);
	if (s->dropout_inside) {
		result = ops_dropout(o, out, transformer_drops_in(m, PLACE_ATTENTION));
		ops_let(o, &out);
		out = result;
	}
	ops_let(o, &q);
	ops_let(o, &k);
	ops_let(o, &v);
	returns(o, &local);
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
