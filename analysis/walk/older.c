/* older.c - attention of models that transformers 5 writes out, each in its own way: GPT-J, CodeGen,
 * GPT-Neo, BLOOM and MPT. Source: modeling_gptj.py, modeling_codegen.py, modeling_gpt_neo.py,
 * modeling_bloom.py and modeling_mpt.py of transformers 5.23.
 * Called from: attention.c. */
#include "transformer.h"

/* What a function's variables name until it returns. */
struct variables {
	struct ten list[16];
	int count;
};

static struct ten kept(struct variables *local, struct ten x)
{
	local->list[local->count++] = x;
	return x;
}

static void returns(struct ops *o, struct variables *local)
{
	while (local->count)
		ops_let(o, &local->list[--local->count]);
}

/* ---- queries, keys and values ------------------------------------------------------------ */

/* x * cos + rotate_every_two(x) * sin, with sines and cosines repeated for this tensor alone. */
static struct ten turned_pairs(struct transformer *m, struct ten x, int width)
{
	struct ops *o = &m->ops;
	int64_t count = m->seq * m->shape->rotary;
	struct ten sine = ops_make(o, count, width), cosine = ops_make(o, count, width),
	           left = ops_mul(o, x, cosine), even = ops_slice(o, x, x.count / 2),
	           odd = ops_slice(o, x, x.count / 2),
	           minus = ops_unary(o, odd, SAVE_NONE),
	           turned = ops_cat(o, minus, even), right, result;

	ops_let(o, &minus);
	ops_let(o, &even);
	ops_let(o, &odd);
	right = ops_mul(o, turned, sine);
	ops_let(o, &turned);
	result = ops_add(o, left, right);
	ops_let(o, &left);
	ops_let(o, &right);
	ops_let(o, &sine);
	ops_let(o, &cosine);
	return result;
}

/* The rotated part of each head and the rest of it, put together anew: of the keys, then of the
 * queries, when both are turned. */
static void turn_both(struct transformer *m, struct ten *heads, int width,
                      struct variables *local)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten turns[2], turned[2], stays[2];

	for (int i = 1; i >= 0; i--) {
		int64_t part = heads[i].count / s->head_dim * s->rotary;
		turns[i] = ops_slice(o, heads[i], part);
		stays[i] = kept(local, ops_slice(o, heads[i], heads[i].count - part));
	}
	for (int i = 1; i >= 0; i--) {
		turned[i] = kept(local, turned_pairs(m, turns[i], width));
		ops_let(o, &turns[i]);
	}
	for (int i = 1; i >= 0; i--) {
		struct ten all = ops_cat(o, turned[i], stays[i]);
		ops_let(o, &heads[i]);
		heads[i] = all;
	}
}

/* GPT-J: three matmuls; the table of all positions is copied in each layer. */
static void read_gptj(struct transformer *m, const struct layer_weights *w,
                      struct ten x, struct ten *out, struct variables *local)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	const struct ten weights[3] = {w->q, w->k, w->v};
	int64_t count = m->seq * s->rotary;

	for (int i = 0; i < 3; i++)
		out[i] = transformer_linear(m, w, LORA_Q + i, x, weights[i], none,
		                            s->hidden, s->hidden);
	out[2] = ops_relaid(o, out[2]);
	kept(local, ops_make(o, s->buffer / 4, 4));
	kept(local, ops_make(o, count, 8)); /* of each number its position */
	kept(local, ops_make(o, count, out[1].width));
	turn_both(m, out, out[1].width, local);
}

/* CodeGen: one matmul in four parts, so that queries, keys and values are copies where a part has
 * more than one head; what is rotated is fp32 from there on, since its sines are. */
static void read_codegen(struct transformer *m, const struct layer_weights *w,
                         struct ten x, struct ten *out, struct variables *local)
{
	const struct shape *s = m->shape;
	enum { PARTS = 4 };
	struct ops *o = &m->ops;
	struct ten all = kept(local, transformer_linear(m, w, LORA_Q, x, w->q, none,
	                                                s->hidden, 3 * s->hidden));
	tensor_id parts[3];

	tape_split(o->tape, all.v, 3, parts);
	for (int i = 0; i < 3; i++) {
		struct ten part = {parts[i], all.count / 3, all.width};
		out[i] = part;
		if (s->heads == PARTS) /* a head each: they lie in order */
			continue;
		out[i] = ops_copy(o, part);
		ops_let(o, &part);
	}
	kept(local, ops_make(o, m->seq * s->rotary, 4));
	turn_both(m, out, 4, local);
}

static void read_gpt_neo(struct transformer *m, const struct layer_weights *w,
                         struct ten x, struct ten *out)
{
	const struct ten weights[3] = {w->q, w->k, w->v};

	for (int i = 0; i < 3; i++)
		out[i] = transformer_linear(m, w, LORA_Q + i, x, weights[i], none,
		                            m->shape->hidden, m->shape->hidden);
}

/* BLOOM: parts of one matmul, each with a gradient of its size. */
static void read_bloom(struct transformer *m, const struct layer_weights *w,
                       struct ten x, struct ten *out, struct variables *local)
{
	struct ops *o = &m->ops;
	struct ten all =
	        kept(local, transformer_linear(m, w, LORA_Q, x, w->q, w->q_bias,
	                                       m->shape->hidden, 3 * m->shape->hidden));

	for (int i = 0; i < 3; i++)
		out[i] = ops_slice(o, all, all.count / 3);
}

/* MPT: a chunk of one matmul each, whose gradients become one. */
static void read_mpt(struct transformer *m, const struct layer_weights *w, struct ten x,
                     struct ten *out, struct variables *local)
{
	struct ops *o = &m->ops;
	struct ten all = transformer_linear(m, w, LORA_Q, x, w->q, none,
	                                    m->shape->hidden, 3 * m->shape->hidden);
	tensor_id parts[3];

	if (m->shape->clipped) {
		struct ten clipped = ops_clamp(o, all);
		ops_let(o, &all);
		all = clipped;
	}
	kept(local, all);
	tape_split(o->tape, all.v, 3, parts);
	for (int i = 0; i < 3; i++) {
		out[i] = (struct ten){parts[i], all.count / 3, all.width};
		if (i != 1) /* keys are read across, as their gradient comes */
			out[i] = ops_relaid(o, out[i]);
	}
}

/* ---- scores ------------------------------------------------------------------------------ */

/* What happens to the scores before the softmax, each to a new tensor. */
enum step { STEP_END, STEP_SAME, STEP_MASK, STEP_FP32 };

static struct ten stepped(struct transformer *m, struct ten scores,
                          const enum step *step, struct variables *local)
{
	struct ops *o = &m->ops;

	for (; *step != STEP_END; step++) {
		bool added =
		        *step == STEP_FP32 || (*step == STEP_MASK && m->mask.width > 1);
		struct ten next;
		int width = scores.width;
		if (*step == STEP_FP32 || (*step == STEP_MASK && m->mask.width == 4))
			width = 4;
		next = width != scores.width ? ops_to(o, scores, width)
		       : added               ? ops_copy(o, scores)
		                             : ops_unary(o, scores, SAVE_NONE);
		if (m->shape->family == FAMILY_BLOOM) /* under another name */
			kept(local, scores);
		else
			ops_let(o, &scores);
		scores = next;
	}
	return scores;
}

static const enum step *steps_of(enum family family)
{
	/* divided by the scale, and masked */
	static const enum step gptj[] = {STEP_SAME, STEP_MASK, STEP_END};
	static const enum step codegen[] = {STEP_MASK, STEP_SAME, STEP_END};
	static const enum step bloom[] = {STEP_MASK, STEP_END};
	/* the scale, ALiBi in fp32, masked */
	static const enum step mpt[] = {STEP_SAME, STEP_FP32, STEP_MASK, STEP_END};

	return family == FAMILY_MPT       ? mpt
	       : family == FAMILY_BLOOM   ? bloom
	       : family == FAMILY_CODEGEN ? codegen
	                                  : gptj;
}

/* Are the scores made by the function that reads queries and keys, whose variables name them? */
static bool in_one_function(enum family family)
{
	return family == FAMILY_BLOOM || family == FAMILY_MPT;
}

/* The probabilities in the values' width. */
static struct ten probabilities(struct transformer *m, struct ten q, struct ten k,
                                int width, struct variables *local)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	bool wide = s->family != FAMILY_BLOOM && s->family != FAMILY_MPT;
	struct ten a = wide ? kept(local, ops_to(o, q, 4)) : q,
	           b = wide ? kept(local, ops_to(o, k, 4)) : k, in[2], scores;
	bool copied =
	        m->batch > 1; /* heads of more than one sample do not lie in order */

	in[0] = a;
	in[1] = b;
	ops_lay_out(o, in, copied, copied);
	if (s->family == FAMILY_BLOOM) /* its variables name the copies now */
		for (int i = 0; i < 2; i++)
			ops_hold(o, kept(local, in[i]));
	scores = ops_bmm(o, in[0], in[1], m->batch * s->heads * m->seq * m->seq);
	ops_let(o, &in[0]);
	ops_let(o, &in[1]);
	scores = stepped(m, scores, steps_of(s->family), local);
	a = ops_softmax(o, scores, 4);
	if (in_one_function(s->family))
		kept(local, scores);
	else
		ops_let(o, &scores);
	b = ops_to(o, a, width);
	ops_let(o, &a);
	return b;
}

bool transformer_is_older(const struct shape *s)
{
	return s->family == FAMILY_GPTJ || s->family == FAMILY_CODEGEN ||
	       s->family == FAMILY_GPT_NEO || s->family == FAMILY_BLOOM ||
	       s->family == FAMILY_MPT;
}

struct ten transformer_older_attention(struct transformer *m,
                                       const struct layer_weights *w, struct ten x,
                                       struct ten *weights)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct variables local = {.count = 0}, inner = {.count = 0};
	struct ten in[3], product[2], a, result;

	if (s->family == FAMILY_GPTJ)
		read_gptj(m, w, x, in, &local);
	else if (s->family == FAMILY_CODEGEN)
		read_codegen(m, w, x, in, &local);
	else if (s->family == FAMILY_GPT_NEO)
		read_gpt_neo(m, w, x, in);
	else if (s->family == FAMILY_BLOOM)
		read_bloom(m, w, x, in, &local);
	else
		read_mpt(m, w, x, in, &local);
	if (s->family == FAMILY_BLOOM && m->batch > 1) {
		result = ops_copy(o, in[2]);
		ops_let(o, &in[2]);
		in[2] = result;
	}
	a = probabilities(m, in[0], in[1], in[2].width,
	                  in_one_function(s->family) ? &local : &inner);
	*weights = ops_dropout(o, a, s->attention_dropout && m->training->dropout);
	ops_let(o, &a);
	product[0] = *weights;
	product[1] = in[2];
	ops_lay_out(o, product, false, m->batch > 1 && s->family != FAMILY_BLOOM);
	result = ops_relaid(o, ops_bmm(o, product[0], product[1], in[2].count));
	ops_let(o, &product[0]);
	ops_let(o, &product[1]);
	returns(o, &inner);
	a = ops_copy(o, result); /* the heads side by side */
	ops_let(o, &result);
	result = transformer_linear(m, w, LORA_O, a, w->o, w->o_bias, s->hidden,
	                            s->hidden);
	ops_let(o, &a);
	for (int i = 0; i < 3; i++)
		ops_let(o, &in[i]);
	returns(o, &local);
	return result;
}
