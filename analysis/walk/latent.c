/* latent.c - DeepSeek's attention: queries, and keys with values, come of one narrow vector a token; a
 * part of each head is turned, and of the keys this part is the same for all heads.
 * Source: modeling_deepseek_v2.py and modeling_deepseek_v3.py, transformers 5.23.
 * Called from: attention.c. */
#include "transformer.h"

/* ---- positions --------------------------------------------------------------------------- */

/* Every second element of each head is turned against the one behind it. */
static struct ten turned_pairs(struct transformer *m, struct ten x)
{
	struct ops *o = &m->ops;
	struct ten cosine = m->cosine, sine = m->sine, half[2], part[2], product[2],
	           result;

	cosine.count /= 2;
	sine.count /= 2;
	for (int i = 0; i < 2; i++)
		half[i] = ops_slice(o, x, x.count / 2);
	for (int i = 0; i < 2; i++) {
		product[0] = ops_mul(o, half[i], cosine);
		product[1] = ops_mul(o, half[1 - i], sine);
		part[i] = i ? ops_add(o, product[0], product[1])
		            : ops_subtract(o, product[0], product[1]);
		ops_let(o, &product[0]);
		ops_let(o, &product[1]);
	}
	result = ops_cat(o, part[0], part[1]);
	for (int i = 0; i < 2; i++) {
		ops_let(o, &part[i]);
		ops_let(o, &half[i]);
	}
	return result;
}

/* The same as a product of complex numbers, in fp32. */
static struct ten turned_complex(struct transformer *m, struct ten x)
{
	struct ops *o = &m->ops;
	struct ten wide = ops_to(o, x, 4), turned = ops_mul(o, wide, m->cosine), result;

	ops_let(o, &wide);
	result = ops_to(o, turned, x.width);
	ops_let(o, &turned);
	return result;
}

static struct ten turned(struct transformer *m, struct ten x)
{
	return m->shape->complex ? turned_complex(m, x) : turned_pairs(m, x);
}

/* ---- queries, keys and values ------------------------------------------------------------ */

/* Of so many elements a token the first ones, and the rest; views. */
static void cut(struct ops *o, struct ten whole, int64_t each, int64_t first,
                struct ten parts[2])
{
	tensor_id views[2];
	int64_t tokens = whole.count / each;

	tape_split(o->tape, whole.v, 2, views);
	parts[0] = (struct ten){views[0], tokens * first, whole.width};
	parts[1] = (struct ten){views[1], tokens * (each - first), whole.width};
}

/* A matmul whose result is read head by head. */
static struct ten heads_of(struct transformer *m, const struct layer_weights *w,
                           enum lora_target which, struct ten x, struct ten weight,
                           int64_t in, int64_t out)
{
	return ops_relaid(&m->ops,
	                  transformer_linear(m, w, which, x, weight, none, in, out));
}

static struct ten queries(struct transformer *m, const struct layer_weights *w,
                          struct ten x)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	int64_t out = s->heads * s->head_dim, narrow = s->latent.queries;
	struct ten low, normed, result;

	if (!narrow)
		return heads_of(m, w, LORA_Q, x, w->q, s->hidden, out);
	low = ops_linear(o, x, w->narrow_q, w->narrow_q_bias, s->hidden, narrow);
	normed = transformer_norm(m, low, &w->q_norm, narrow);
	ops_let(o, &low);
	result = ops_relaid(o, ops_linear(o, normed, w->q, none, narrow, out));
	ops_let(o, &normed);
	return result;
}

/* The part of a key that all heads share, once for each head; a view. */
static struct ten for_each_head(struct transformer *m, struct ten x)
{
	struct op op = {.in = {x.v},
	                .give = {GIVE_NEW},
	                .grad = {x.count * x.width},
	                .inputs = 1};

	return (struct ten){tape_view(m->ops.tape, &op, x.v), x.count * m->shape->heads,
	                    x.width};
}

/* Both parts are copied into a new tensor. The backward of each copy lays the gradient of the whole out
 * anew: CopySlices of torch/csrc/autograd/functions/tensor.cpp. */
static struct ten put_together(struct transformer *m, struct ten plain,
                               struct ten turned)
{
	struct ops *o = &m->ops;
	struct ten whole = ops_make(o, plain.count + turned.count, plain.width), result;
	int64_t part = turned.count * plain.width;
	struct op first = {.in = {plain.v},
	                   .give = {GIVE_NEW},
	                   .grad = {plain.count * plain.width},
	                   .inputs = 1,
	                   .before = {whole.count * whole.width}},
	          second = {.give = {GIVE_NEW, GIVE_NEW},
	                    .grad = {whole.count * whole.width,
	                             turned.count * turned.width},
	                    .inputs = 2,
	                    .after = {part, turned.width == plain.width ? 0 : part}};
	tensor_id begun = tape_view(o->tape, &first, whole.v);

	second.in[0] = begun;
	second.in[1] = turned.v;
	result = (struct ten){tape_view(o->tape, &second, begun), whole.count,
	                      whole.width};
	tape_let(o->tape, begun);
	ops_let(o, &whole);
	return result;
}

struct ten latent_attention(struct transformer *m, const struct layer_weights *w,
                            struct ten x, struct ten *weights)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	int64_t plain = s->head_dim - s->rotary, narrow = s->latent.keys;
	struct ten all = queries(m, w, x), q[2], low, parts[2], normed, rotated[2],
	           query, both, kv[2], spread, key, result, out;

	cut(o, all, s->head_dim, plain, q);
	low = ops_linear(o, x, w->narrow_kv, w->narrow_kv_bias, s->hidden,
	                 narrow + s->rotary);
	cut(o, low, narrow + s->rotary, narrow, parts);
	normed = transformer_norm(m, parts[0], &w->k_norm, narrow);
	ops_let(o, &parts[0]);
	rotated[0] = turned(m, q[1]);
	rotated[1] = turned(m, parts[1]);
	ops_let(o, &q[1]);
	ops_let(o, &parts[1]);
	query = ops_cat(o, q[0], rotated[0]);
	both = ops_relaid(o, ops_linear(o, normed, w->k, none, narrow,
	                                s->heads * (plain + s->latent.value)));
	cut(o, both, plain + s->latent.value, plain, kv);
	ops_let(o, &both);
	spread = for_each_head(m, rotated[1]);
	key = put_together(m, kv[0], spread);
	ops_let(o, &spread);
	ops_let(o, &kv[0]);
	result = transformer_attended(m, w, query, key, kv[1], weights);
	out = transformer_linear(m, w, LORA_O, result, w->o, w->o_bias,
	                         s->heads * s->latent.value, s->hidden);
	ops_let(o, &result);
	ops_let(o, &query);
	ops_let(o, &key);
	ops_let(o, &kv[1]);
	ops_let(o, &all);
	ops_let(o, &q[0]);
	ops_let(o, &low);
	ops_let(o, &normed);
	ops_let(o, &rotated[0]);
	ops_let(o, &rotated[1]);
	return out;
}
