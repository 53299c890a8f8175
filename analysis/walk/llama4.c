/* llama4.c - Llama 4's text: positions by complex numbers, heads normalised without a weight, and experts
 * that all read every token, times what the router gives it: 0 where it does not choose them.
 * Source: modeling_llama4.py, transformers 5.23.
 * Called from: attention.c, experts.c. */
#include "transformer.h"

/* ---- positions --------------------------------------------------------------------------- */

static void replace(struct ops *o, struct ten *name, struct ten value)
{
	ops_let(o, name);
	*name = value;
}

/* In fp32, times a number for each token, and back. */
static void warm(struct transformer *m, struct ten *q)
{
	struct ops *o = &m->ops;
	struct ten scale = ops_make(o, m->seq, 4), wide = ops_mul(o, *q, scale);

	ops_let(o, &scale);
	replace(o, q, ops_to(o, wide, q->width));
	ops_let(o, &wide);
}

void llama4_positions(struct transformer *m, const struct layer_weights *w,
                      struct ten *q, struct ten *k)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten *heads[2] = {q, k}, wide[2], turned[2];

	if (w->unturned && s->experts.warm)
		warm(m, q);
	if (w->unturned)
		return;
	for (int i = 0; i < 2; i++)
		wide[i] = ops_to(o, *heads[i], 4);
	for (int i = 0; i < 2; i++)
		turned[i] = ops_mul(o, wide[i], m->cosine);
	for (int i = 0; i < 2; i++) {
		replace(o, heads[i], ops_to(o, turned[i], heads[i]->width));
		ops_let(o, &turned[i]);
		ops_let(o, &wide[i]);
	}
	for (int i = 0; i < 2 && !s->experts.plain_heads; i++)
		replace(o, heads[i],
		        transformer_bare_rms_norm(m, *heads[i], s->head_dim));
}

/* ---- experts ----------------------------------------------------------------------------- */

/* One operator with one input and one output, of other sizes. */
static struct ten made_of(struct ops *o, struct ten x, int64_t count, int width)
{
	struct op op = {.in = {x.v},
	                .give = {GIVE_NEW},
	                .grad = {x.count * x.width},
	                .inputs = 1};

	return (struct ten){tape_result(o->tape, &op, count * width), count, width};
}

/* A weight for each expert and token. */
static struct ten scores_of(struct transformer *m, const struct layer_weights *w,
                            struct ten x, struct ten *logits)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten best, all, wide, score, result;
	enum { LONG = 8 };
	struct ten places = ops_make(o, m->tokens * s->experts.chosen, LONG);

	*logits = ops_linear(o, x, w->router, none, s->hidden, s->experts.count);
	best = made_of(o, *logits, m->tokens * s->experts.chosen, logits->width);
	all = made_of(o, best, logits->count, logits->width);
	ops_let(o, &best);
	wide = ops_to(o, all, 4);
	score = ops_unary(o, wide, SAVE_RESULT);
	ops_let(o, &wide);
	ops_let(o, &all);
	result = ops_to(o, score, logits->width);
	ops_let(o, &score);
	ops_let(o, &places);
	return result;
}

static struct ten cast(struct ops *o, struct ten x)
{
	return o->half ? ops_to(o, x, o->half) : ops_hold(o, x);
}

/* A product of every expert with its own matrix, which autocast takes in 16 bits. */
static struct ten multiplied(struct ops *o, struct ten x, struct ten weight,
                             int64_t count)
{
	struct ten right = ops_cast_weight(o, weight), left = cast(o, x),
	           result = ops_bmm(o, left, right, count);

	ops_let(o, &left);
	ops_let(o, &right);
	return result;
}

static struct ten by_all(struct transformer *m, const struct layer_weights *w,
                         struct ten read)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	int64_t rows = m->tokens * s->experts.count;
	struct ten both = multiplied(o, read, w->experts_in,
	                             rows * 2 * s->experts.width),
	           gate, up, active, product, result;
	tensor_id parts[2];

	tape_split(o->tape, both.v, 2, parts);
	gate = (struct ten){parts[0], both.count / 2, both.width};
	up = (struct ten){parts[1], both.count / 2, both.width};
	active = transformer_function(o, s->gate, gate);
	product = ops_mul(o, up, active);
	ops_let(o, &active);
	result = multiplied(o, product, w->experts_out, rows * s->hidden);
	ops_let(o, &product);
	ops_let(o, &gate);
	ops_let(o, &up);
	ops_let(o, &both);
	return result;
}

struct ten llama4_experts(struct transformer *m, const struct layer_weights *w,
                          struct ten stream)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	int64_t rows = m->tokens * s->experts.count, count = m->tokens * s->hidden;
	struct ten x = ops_view(o, stream), logits, scores, often, laid, read, given,
	           beside, sum, out;

	o->flat = true;
	scores = scores_of(m, w, x, &logits);
	often = made_of(o, x, rows * s->hidden, x.width);
	laid = ops_copy(o, scores);
	read = ops_mul(o, often, laid);
	ops_let(o, &laid);
	ops_let(o, &often);
	given = by_all(m, w, read);
	beside = transformer_gated(m, w, x, s->experts.shared);
	sum = made_of(o, given, count, o->half ? 4 : given.width);
	out = ops_added(o, beside, sum);
	ops_let(o, &sum);
	ops_let(o, &beside);
	ops_let(o, &given);
	ops_let(o, &read);
	ops_let(o, &scores);
	ops_let(o, &logits);
	ops_let(o, &x);
	o->flat = false;
	return ops_reshaped(o, out);
}
