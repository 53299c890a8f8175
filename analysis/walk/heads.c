/* heads.c - what stands on a model's layers, and its loss: the words of an encoder, the classes of
 * samples or tokens. A decoder's words are transformer.c's.
 * Source: the classes For… in models/NAME/modeling_NAME.py, and modeling_layers.py,
 * transformers 5.23.
 * Called from: clip.c, encoder.c, transformer.c. */
#include "transformer.h"

static struct ten words(struct transformer *m, struct ten x)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	int64_t wide = shape_embedding(s);
	struct ten a = ops_linear(o, x, m->dense, m->dense_bias, s->hidden, wide), b;

	/* these two have gelu there, whatever their layers have */
	b = transformer_function(
	        o,
	        s->family == FAMILY_ROBERTA || s->family == FAMILY_ELECTRA ? MLP_GELU
	                                                                   : s->mlp,
	        a);
	ops_let(o, &a);
	a = ops_layer_norm(o, b, m->head_norm.weight, m->head_norm.bias, wide);
	ops_let(o, &b);
	m->output = ops_linear(o, a, m->head, m->head_bias, wide, s->vocab);
	ops_let(o, &a);
	return ops_cross_entropy(o, m->output, m->ids);
}

/* Some rows of a tensor, as a view: the gradient is of the whole, with zeros. */
struct ten transformer_part(struct ops *o, struct ten x, int64_t count)
{
	struct op op = {.in = {x.v},
	                .give = {GIVE_NEW},
	                .grad = {x.count * x.width},
	                .inputs = 1};

	return (struct ten){tape_view(o->tape, &op, x.v), count, x.width};
}

/* BERT's pooler and those of its kind: the first token, a matmul, a function. */
static struct ten pooled_classes(struct transformer *m, struct ten x)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	bool active = s->head_dropout && !m->training->no_dropout;
	struct ten first = transformer_part(o, x, m->batch * s->hidden), a, b;

	a = ops_dropout(
	        o, first,
	        active && (s->family == FAMILY_ROBERTA || s->family == FAMILY_ELECTRA));
	ops_let(o, &first);
	b = ops_linear(o, a, m->dense, m->dense_bias, s->hidden, s->hidden);
	ops_let(o, &a);
	a = ops_unary(o, b, SAVE_RESULT);
	ops_let(o, &b);
	b = ops_dropout(o, a, active);
	ops_let(o, &a);
	m->output = ops_linear(o, b, m->head, m->head_bias, s->hidden, s->classes);
	ops_let(o, &b);
	return ops_cross_entropy(o, m->output, m->ids);
}

/* A decoder's: the classes of every token, of which the last one's are taken. */
static struct ten last_classes(struct transformer *m, struct ten x)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten all = ops_linear(o, x, m->head, m->head_bias, s->hidden, s->classes),
	           loss;
	struct op op = {.in = {all.v},
	                .give = {GIVE_NEW},
	                .grad = {all.count * all.width},
	                .inputs = 1};
	int64_t count = m->batch * s->classes;

	m->output = (struct ten){tape_result(o->tape, &op, count * all.width), count,
	                         all.width};
	loss = ops_cross_entropy(o, m->output, m->ids);
	ops_let(o, &all);
	return loss;
}

static struct ten classes_of_tokens(struct transformer *m, struct ten x)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten h = ops_dropout(o, x, s->head_dropout && !m->training->no_dropout),
	           wide, loss;

	m->output = ops_linear(o, h, m->head, m->head_bias, s->hidden, s->classes);
	ops_let(o, &h);
	if (s->encoder || s->family == FAMILY_GPT2)
		return ops_cross_entropy(o, m->output, m->ids);
	wide = ops_to(o, m->output, 4); /* ForTokenClassification: logits.float() */
	loss = ops_cross_entropy(o, wide, m->ids);
	ops_let(o, &wide);
	return loss;
}

/* An image's: those of the first token. */
static struct ten first_classes(struct transformer *m, struct ten x)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten first = transformer_part(o, x, m->batch * s->hidden);

	m->output = ops_linear(o, first, m->head, m->head_bias, s->hidden, s->classes);
	ops_let(o, &first);
	return ops_cross_entropy(o, m->output, m->ids);
}

struct ten heads_loss(struct transformer *m, struct ten x)
{
	switch (m->shape->head) {
	case HEAD_MASKED:
		return words(m, x);
	case HEAD_SEQUENCE:
		return m->shape->encoder ? pooled_classes(m, x) : last_classes(m, x);
	case HEAD_CLASSES:
		return first_classes(m, x);
	default:
		return classes_of_tokens(m, x);
	}
}
