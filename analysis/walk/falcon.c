/* falcon.c - a layer of Falcon, whose attention and feed-forward read one input, or a norm's each.
 * Source: modeling_falcon.py of transformers 5.23.
 * Called from: transformer.c. */
#include "transformer.h"

/* Keys or values of the one matmul, taken by a list of indices: a copy, whose gradient is written into
 * one of the whole. */
static struct ten indexed(struct ops *o, struct ten all, int64_t count)
{
	struct ten index = ops_make(o, 1, 8), result;
	struct op op = {.in = {all.v},
	                .give = {GIVE_NEW},
	                .grad = {all.count * all.width},
	                .saves = {index.v},
	                .inputs = 1,
	                .save_count = 1};

	result = (struct ten){tape_result(o->tape, &op, count * all.width), count,
	                      all.width};
	ops_let(o, &index);
	return result;
}

/* Queries, keys and values of the one matmul: [0] to [2]. The newer architecture lays out all three
 * anew, one beside the other for each head; the oldest has them as views. */
static void split_heads(struct transformer *m, struct ten all, struct ten *heads)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	int64_t tokens = m->tokens, one = tokens * s->kv_heads * s->head_dim;
	struct ten laid;

	heads[0] = ops_slice(o, all, tokens * s->heads * s->head_dim);
	for (int i = 1; i < 3; i++)
		heads[i] = s->kv_heads == s->heads && !s->grouped
		                   ? ops_slice(o, all, one)
		                   : indexed(o, all, one);
	if (!s->grouped)
		return;
	for (int i = 1; i < 3; i++) {
		laid = transformer_each_head(m, heads[i]);
		ops_let(o, &heads[i]);
		heads[i] = laid;
	}
	if (s->kv_heads > 1) { /* of one group they lie in order */
		laid = ops_copy(o, heads[0]);
		ops_let(o, &heads[0]);
		heads[0] = laid;
	}
}

/* Do all heads read one key and one value, which stay views of one head? */
static bool has_one_key(const struct shape *s)
{
	return s->kv_heads == 1 && s->heads > 1 && !s->grouped;
}

/* a times b of each head, keys or values in b; both lie head by head for one sample alone. */
static struct ten product(struct transformer *m, struct ten a, struct ten b, bool first,
                          int64_t count)
{
	struct ops *o = &m->ops;
	bool one = has_one_key(m->shape);
	struct ten spread = one ? transformer_shared(m, b) : ops_hold(o, b),
	           in[2] = {a, spread}, result;

	ops_lay_out(o, in, first && m->batch > 1, one || m->batch > 1);
	ops_let(o, &spread);
	result = ops_bmm(o, in[0], in[1], count);
	ops_let(o, &in[0]);
	ops_let(o, &in[1]);
	return result;
}

/* Written out; the softmax is as wide as what the layer's norm gave. */
static struct ten written(struct transformer *m, const struct ten *heads, int width,
                          struct ten *weights)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten scores = product(m, heads[0], heads[1], true,
	                            m->batch * s->heads * m->seq * m->seq),
	           masked = scores.width < m->mask.width
	                            ? ops_to(o, scores, m->mask.width)
	                            : ops_copy(o, scores),
	           result, beside;

	ops_let(o, &scores);
	*weights = ops_softmax(o, masked, width);
	ops_let(o, &masked);
	result = ops_relaid(o, product(m, *weights, heads[2], false, heads[0].count));
	beside = ops_copy(o, result); /* the heads of a token side by side */
	ops_let(o, &result);
	return beside;
}

static struct ten attention(struct transformer *m, const struct layer_weights *w,
                            struct ten x, struct ten *weights)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten all = transformer_linear(m, w, LORA_Q, x, w->q, none, s->hidden,
	                                    (s->heads + 2 * s->kv_heads) * s->head_dim),
	           heads[3], result, out;

	*weights = none;
	split_heads(m, all, heads);
	transformer_turn(m, heads);
	result = m->training->attention == ATTENTION_FLASH
	                 ? transformer_attended(m, w, heads[0], heads[1], heads[2],
	                                        weights)
	                 : written(m, heads, x.width, weights);
	out = transformer_linear(m, w, LORA_O, result, w->o, none,
	                         s->heads * s->head_dim, s->hidden);
	ops_let(o, &result);
	for (int i = 0; i < 3; i++)
		ops_let(o, &heads[i]);
	ops_let(o, &all);
	return out;
}

/* given += attended: no new tensor. Takes given. */
static struct ten added_in_place(struct ops *o, struct ten given, struct ten attended)
{
	struct op op = {.in = {given.v, attended.v},
	                .give = {GIVE_SAME, GIVE_SAME},
	                .inputs = 2};
	struct ten sum = given;

	sum.v = tape_view(o->tape, &op, given.v);
	ops_let(o, &given);
	return sum;
}

tensor_id falcon_layer(struct transformer *m, const struct layer_weights *w,
                       struct ten x)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten read = transformer_norm(m, x, &w->norm[0], s->hidden),
	           other = s->parallel && s->norms > 1
	                           ? transformer_norm(m, x, &w->norm[1], s->hidden)
	                           : none,
	           stream = ops_hold(o, x), weights,
	           attended = attention(m, w, read, &weights), given, sum;

	if (!s->parallel) {
		ops_let(o, &stream);
		stream = ops_add(o, x, attended);
		other = transformer_norm(m, stream, &w->norm[1], s->hidden);
	} else if (s->norms == 1) {
		other = ops_hold(o, read);
	}
	given = transformer_feed_forward(m, w, other);
	if (s->parallel)
		given = added_in_place(o, given, attended);
	sum = ops_add(o, given, stream);
	ops_let(o, &given);
	ops_let(o, &other);
	ops_let(o, &weights);
	ops_let(o, &attended);
	ops_let(o, &stream);
	ops_let(o, &read);
	return sum.v;
}
