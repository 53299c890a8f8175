/* experts.c - a router, and the experts that it sends tokens to, as transformers 5 runs them: the
 * tokens of each expert are put beside each other, and one operator multiplies each expert's with its
 * own weights. How many go to which expert changes no size here.
 * Source: the routers and blocks of modeling_mixtral.py, modeling_qwen2_moe.py and
 * modeling_qwen3_moe.py; grouped_mm_experts_forward() of integrations/moe.py, transformers 5.23.
 * Called from: feed_forward.c, known.c. */
#include "experts.h"
#include "transformer.h"

enum { LONG = 8, INT = 4 };

/* What a function's variables name until it returns. */
struct variables {
	struct ten list[12];
	int count;
};

static struct ten keep(struct variables *local, struct ten x)
{
	local->list[local->count++] = x;
	return x;
}

static void returns(struct ops *o, struct variables *local)
{
	while (local->count)
		ops_let(o, &local->list[--local->count]);
}

const char *experts_lacking(const struct transformer *m)
{
	enum { AMPERE = 8, ALIGNED = 16 };
	const struct shape *s = m->shape;
	int64_t rows = m->wide * s->hidden, inner = m->wide * s->experts.width;

	if (s->latent.halves)
		return "'rope_interleave' is false, which is not gone through";
	if (!s->experts.sparse)
		return NULL;
	if (!s->experts.chosen)
		return "how many experts a token goes to is not known";
	if (s->experts.aux_loss)
		return "the router's own loss ('output_router_logits') is not gone "
		       "through";
	if (lora_is_of_experts(s, m->training))
		return "adapters on the experts' own tensors are not gone through";
	if (!experts_are_grouped(s)) /* bitsandbytes takes its router for a matmul */
		return m->training->parameter == DTYPE_NF4
		               ? "a router of nf4 weights is not gone through"
		               : NULL;
	if (s->latent.keys && !s->experts.shared)
		return "experts without one that all tokens share are not gone through";
	/* PyTorch has no such operator on older cards, nor for rows of other lengths */
	if (m->ops.silicon->major < AMPERE)
		return "a card before Ampere has no operator for all experts at once";
	if (rows % ALIGNED || inner % ALIGNED)
		return "there is no operator for all experts at once where their rows "
		       "are no multiple of 16 bytes";
	return NULL;
}

/* ---- the router -------------------------------------------------------------------------- */

/* What it gives: its logits, which the caller names; a weight and a place for each choice. */
struct routing {
	struct ten logits, weights, chosen;
};

/* The largest of each row, and where they are. */
static struct ten largest(struct transformer *m, struct ten scores, struct ten *places)
{
	struct ops *o = &m->ops;
	int64_t count = m->tokens * m->shape->experts.chosen;
	struct op op = {.in = {scores.v},
	                .give = {GIVE_NEW},
	                .grad = {scores.count * scores.width},
	                .inputs = 1,
	                .save_count = 1};
	struct ten values = ops_make(o, count, scores.width);

	*places = ops_make(o, count, LONG);
	op.saves[0] = places->v;
	tape_record(o->tape, &op, values.v);
	return values;
}

/* Divided in place by what they add up to: what was there is saved beside the sum. */
static struct ten shares(struct transformer *m, struct ten values)
{
	struct ops *o = &m->ops;
	struct ten sum = ops_mean(o, values, m->shape->experts.chosen),
	           before = ops_make(o, values.count, values.width), result;
	struct op op = {.in = {values.v, sum.v},
	                .give = {GIVE_NEW, GIVE_SUM},
	                .grad = {values.count * values.width, sum.count * sum.width},
	                .wide = values.count * values.width,
	                .saves = {before.v, sum.v},
	                .inputs = 2,
	                .save_count = 2};

	result = (struct ten){tape_view(o->tape, &op, values.v), values.count,
	                      values.width};
	ops_let(o, &before);
	ops_let(o, &sum);
	ops_let(o, &values);
	return result;
}

/* DeepSeek's, in fp32: by a softmax, or by a function of each score. What groups of experts are left
 * out is decided without a gradient that anything keeps. */
static struct routing route_in_fp32(struct transformer *m,
                                    const struct layer_weights *w, struct ten x)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	bool third = s->family == FAMILY_DEEPSEEK_V3;
	struct ten wide = ops_to(o, x, 4), weight = ops_to(o, w->router, 4), scores,
	           values;
	struct routing r;

	r.logits = ops_linear(o, wide, weight, none, s->hidden, s->experts.count);
	ops_let(o, &wide);
	ops_let(o, &weight);
	scores = third ? ops_unary(o, r.logits, SAVE_RESULT)
	               : ops_softmax(o, r.logits, 4);
	values = largest(m, scores, &r.chosen);
	if (s->experts.shares)
		values = shares(m, values);
	r.weights = ops_unary(o, values, SAVE_NONE); /* times the scale */
	ops_let(o, &values);
	ops_let(o, &scores);
	return r;
}

static struct routing route(struct transformer *m, const struct layer_weights *w,
                            struct ten x)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct routing r;
	struct ten wide, scores, values;

	r.logits = ops_linear(o, x, w->router, none, s->hidden, s->experts.count);
	wide = s->family == FAMILY_MIXTRAL ? ops_to(o, r.logits, 4)
	                                   : ops_hold(o, r.logits);
	scores = ops_softmax(o, wide, 4);
	ops_let(o, &wide);
	values = largest(m, scores, &r.chosen);
	if (s->experts.shares)
		values = shares(m, values);
	r.weights = s->family == FAMILY_MIXTRAL ? ops_hold(o, values)
	                                        : ops_to(o, values, r.logits.width);
	ops_let(o, &values);
	ops_let(o, &scores);
	return r;
}

/* ---- the experts ------------------------------------------------------------------------- */

/* Rows by their numbers. Its gradient is put together by sorting the numbers: index_put_ with
 * accumulate, aten/src/ATen/native/cuda/Indexing.cu. */
static struct ten picked(struct ops *o, struct ten x, struct ten numbers, int64_t row)
{
	int64_t sorted = LONG * numbers.count;
	struct op op = {.in = {x.v},
	                .give = {GIVE_NEW},
	                .grad = {x.count * x.width},
	                .saves = {numbers.v},
	                .inputs = 1,
	                .save_count = 1,
	                .after = {sorted, sorted, 2 * sorted, 2 * sorted}};
	int64_t count = numbers.count * row;

	return (struct ten){tape_result(o->tape, &op, count * x.width), count, x.width};
}

/* The gate's function times what is beside it; both come of one matmul, which is given up. */
static struct ten gated(struct ops *o, enum mlp function, struct ten both)
{
	struct ten gate, up, active, result;
	tensor_id parts[2];

	tape_split(o->tape, both.v, 2, parts);
	gate = (struct ten){parts[0], both.count / 2, both.width};
	up = (struct ten){parts[1], both.count / 2, both.width};
	active = transformer_function(o, function, gate);
	result = ops_mul(o, active, up);
	ops_let(o, &active);
	ops_let(o, &gate);
	ops_let(o, &up);
	ops_let(o, &both);
	return result;
}

/* The sum over the choices of each token; its gradient is laid out for each of them. */
static struct ten summed(struct transformer *m, struct ten x)
{
	struct ops *o = &m->ops;
	int64_t count = x.count / m->shape->experts.chosen;
	struct op op = {.in = {x.v},
	                .give = {count == x.count ? GIVE_SAME : GIVE_NEW},
	                .grad = {x.count * x.width},
	                .inputs = 1};

	return (struct ten){tape_result(o->tape, &op, count * x.width), count, x.width};
}

static struct ten grouped(struct transformer *m, const struct layer_weights *w,
                          struct ten x, const struct routing *r)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct variables local = {.count = 0};
	int64_t rows = m->tokens * s->experts.chosen;
	struct ten order, number, selected, shares, back, given, weighted, result;

	keep(&local, ops_make(o, rows, LONG)); /* the experts' numbers, sorted */
	order = keep(&local, ops_make(o, rows, LONG));
	number = ops_make(o, rows, LONG);
	selected = keep(&local, picked(o, x, number, s->hidden));
	ops_let(o, &number);
	shares = keep(&local, picked(o, r->weights, order, 1));
	keep(&local,
	     ops_make(o, rows, INT)); /* what is counted by expert, counts, ends */
	keep(&local, ops_make(o, s->experts.count, INT));
	keep(&local, ops_make(o, s->experts.count, INT));
	given = ops_bmm(o, selected, w->experts_in, rows * 2 * s->experts.width);
	given = gated(o, s->gate, given);
	result = ops_bmm(o, given, w->experts_out, rows * s->hidden);
	ops_let(o, &given);
	keep(&local, result);
	weighted = ops_mul(o, result, shares);
	back = keep(&local, ops_make(o, rows, LONG));
	result = keep(&local, picked(o, weighted, back, s->hidden));
	ops_let(o, &weighted);
	weighted = keep(&local, summed(m, result));
	result = ops_to(o, weighted, x.width);
	returns(o, &local);
	return result;
}

/* ---- the block --------------------------------------------------------------------------- */

/* What all tokens go through beside the experts, as it is added to what these give. */
static struct ten weighed(struct transformer *m, const struct layer_weights *w,
                          struct ten x, struct ten beside)
{
	struct ops *o = &m->ops;
	struct ten number = ops_linear(o, x, w->shared_gate, none, m->shape->hidden, 1),
	           part = ops_unary(o, number, SAVE_RESULT),
	           result = ops_mul(o, part, beside);

	ops_let(o, &number);
	ops_let(o, &part);
	ops_let(o, &beside);
	return result;
}

struct ten experts_forward(struct transformer *m, const struct layer_weights *w,
                           struct ten stream)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	bool last =
	        s->latent
	                .keys; /* DeepSeek's shared experts read what has three dimensions */
	struct ten x = ops_view(o, stream), beside = none, result, sum;
	struct routing r;

	if (!experts_are_grouped(s)) {
		ops_let(o, &x);
		return llama4_experts(m, w, stream);
	}
	o->flat = true;
	if (s->experts.shared && !last)
		beside = transformer_gated(m, w, x, s->experts.shared);
	r = last ? route_in_fp32(m, w, x) : route(m, w, x);
	result = grouped(m, w, x, &r);
	o->flat = !last;
	if (s->experts.shared && last)
		beside = transformer_gated(m, w, stream, s->experts.shared);
	if (s->experts.shared) {
		if (s->experts.shared_gate)
			beside = weighed(m, w, x, beside);
		sum = ops_add(o, result, beside);
		ops_let(o, &result);
		ops_let(o, &beside);
		result = sum;
	}
	o->flat = false;
	ops_let(o, &r.logits);
	ops_let(o, &r.weights);
	ops_let(o, &r.chosen);
	ops_let(o, &x);
	return ops_reshaped(o, result);
}
