/* clip.c - CLIP's two towers and their loss: pictures held against texts.
 * Source: models/clip/modeling_clip.py, transformers 5.23.
 * Called from: walk.c. */
#include <stdlib.h>

#include "heap.h"
#include "transformer.h"

/* The second tower, with what it owns. */
struct tower {
	struct transformer transformer;
	struct shape shape;
};

bool clip_make(struct transformer *m)
{
	struct tower *tower = allocate(sizeof(*tower));
	struct transformer *p = &tower->transformer;
	bool good;

	shape_of_pictures(m->shape, &tower->shape);
	*p = (struct transformer){.ops = m->ops,
	                          .shape = &tower->shape,
	                          .training = m->training,
	                          .batch = m->batch,
	                          .seq = tower->shape.positions,
	                          .keys = tower->shape.positions,
	                          .tokens = m->batch * tower->shape.positions,
	                          .wide = m->wide,
	                          .bias = none,
	                          .other_mask = none,
	                          .memory = none,
	                          .named = none,
	                          .asked = none,
	                          .embedding_bias = none,
	                          .layer_count = tower->shape.layers};
	m->pictures = p;
	good = transformer_make(m) && transformer_make(p);
	m->scale = transformer_weight(m, 1, 1, 0);
	transformer_take_weights(m, p);
	/* numbers of positions, in both towers */
	tape_make(m->ops.tape, 8 * m->shape->positions, TAPE_PARAMETER);
	tape_make(m->ops.tape, 8 * p->seq, TAPE_PARAMETER);
	p->pixels = ops_make(&m->ops, m->batch * tower->shape.pixels, m->wide);
	return good;
}

void clip_free(struct transformer *m)
{
	struct tower *tower = (struct tower *)m->pictures;

	if (!tower)
		return;
	transformer_free(&tower->transformer);
	free(tower);
}

/* One token of each, through the head to where both towers meet. */
static struct ten projected(struct transformer *m, struct ten x)
{
	struct ops *o = &m->ops;
	int64_t width = m->shape->hidden;
	struct ten one = transformer_part(o, x, m->batch * width), next, result;

	if (m->shape->patch) {
		next = transformer_norm(m, one, &m->head_norm, width);
	} else { /* by an index for each text */
		struct op op = {.in = {one.v}, .give = {GIVE_SAME}, .inputs = 1};
		next = (struct ten){tape_result(o->tape, &op, one.count * one.width),
		                    one.count, one.width};
	}
	ops_let(o, &one);
	result = ops_linear(o, next, m->head, none, width,
	                    m->shape->pictures.projection);
	ops_let(o, &next);
	return result;
}

/* Divided by its length, in fp32 under autocast. */
static struct ten normalised(struct transformer *m, struct ten x)
{
	struct ops *o = &m->ops;
	struct ten wide = o->half ? ops_to(o, x, 4) : ops_hold(o, x),
	           square = ops_power(o, wide),
	           sum = ops_mean(o, square, m->shape->pictures.projection), length,
	           result;

	ops_let(o, &square);
	length = ops_unary(o, sum, SAVE_INPUT);
	ops_let(o, &sum);
	result = ops_mul(o, wide, length);
	ops_let(o, &length);
	ops_let(o, &wide);
	ops_let(o, &x);
	return result;
}

/* The loss of the similarities, read by rows and by columns. */
static struct ten contrast(struct transformer *m, struct ten pictures, struct ten texts)
{
	struct ops *o = &m->ops;
	struct ten in[2] = {texts, pictures}, like, scale, scaled, losses[2], labels,
	           sum;

	ops_lay_out(o, in, false, false);
	like = ops_bmm(o, in[0], in[1], m->batch * m->batch);
	scale = ops_unary(o, m->scale, SAVE_RESULT);
	scaled = ops_mul(o, like, scale);
	for (int i = 0; i < 2; i++) {
		ops_let(o, &in[i]);
		labels = ops_make(o, m->batch, 8);
		losses[i] = ops_cross_entropy(o, scaled, labels);
		ops_let(o, &labels);
	}
	sum = ops_add(o, losses[0], losses[1]);
	for (int i = 0; i < 2; i++)
		ops_let(o, &losses[i]);
	ops_let(o, &scaled);
	ops_let(o, &scale);
	ops_let(o, &like);
	return sum;
}

/* `outputs` holds what both towers gave, for each token. */
tensor_id clip_forward(struct transformer *m)
{
	struct ops *o = &m->ops;
	struct ten pictures, texts, loss;

	m->memory = transformer_body(m->pictures);
	pictures = projected(m->pictures, m->memory);
	m->output = transformer_body(m);
	texts = projected(m, m->output);
	pictures = normalised(m, pictures);
	texts = normalised(m, texts);
	loss = contrast(m, pictures, texts);
	ops_let(o, &pictures);
	ops_let(o, &texts);
	tape_autocast_ends(o->tape);
	return loss.v;
}
