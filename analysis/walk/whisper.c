/* whisper.c - what Whisper's stacks read, a sound behind two convolutions and words, and a layer.
 * Source: models/whisper/modeling_whisper.py, transformers 5.23. What the kernels of a convolution
 * work in is the choice of a card's cuDNN, and left out.
 * Called from: seq2seq.c. */
#include "transformer.h"

/* A convolution over three moments, with so many elements as its result, and gelu. */
static struct ten convolved(struct transformer *m, struct ten x, int which,
                            int64_t count)
{
	struct ops *o = &m->ops;
	int width = o->half ? o->half : m->wide;
	struct ten in = ops_to(o, x, width), w = ops_cast_weight(o, m->sound[which]),
	           b = ops_cast_weight(o, m->sound_bias[which]), all, result;
	struct op op = {.in = {in.v, w.v, b.v},
	                .give = {GIVE_NEW, GIVE_NEW, GIVE_NEW},
	                .grad = {in.count * width, w.count * width, b.count * width},
	                .saves = {in.v, w.v},
	                .inputs = 3,
	                .save_count = 2};

	all = (struct ten){tape_result(o->tape, &op, count * width), count, width};
	ops_let(o, &in);
	ops_let(o, &w);
	ops_let(o, &b);
	result = ops_unary(o, all, SAVE_INPUT);
	ops_let(o, &all);
	return result;
}

static struct ten sound_embedded(struct transformer *m, struct ten held[2])
{
	struct ops *o = &m->ops;
	int64_t count = m->tokens * m->shape->hidden;
	struct ten first = convolved(m, m->pixels, 0, 2 * count), x, sum;

	held[0] = convolved(m, first, 1, count);
	held[1] = none;
	ops_let(o, &first);
	x = ops_make(o, m->seq * m->shape->hidden,
	             m->wide); /* positions, not trained */
	sum = ops_add(o, held[0], x);
	ops_let(o, &x);
	x = ops_dropout(o, sum, transformer_drops(m));
	ops_let(o, &sum);
	return x;
}

struct ten whisper_embedded(struct transformer *m, bool second, struct ten held[2])
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten ids, rows, x, sum;

	if (!second)
		return sound_embedded(m, held);
	ids = ops_make(o, m->tokens, 8);
	rows = ops_make(o, m->tokens, 8);
	held[0] = ops_embedding(o, m->embedding, ids, s->hidden);
	held[1] = ops_embedding(o, m->decoder_positions, rows, s->hidden);
	ops_let(o, &ids);
	ops_let(o, &rows);
	sum = ops_add(o, held[0], held[1]);
	x = ops_dropout(o, sum, transformer_drops(m));
	ops_let(o, &sum);
	return x;
}

/* Attention to the sound, in the second stack; weights: of the attention before. */
static struct ten listened(struct transformer *m, const struct layer_weights *w,
                           struct ten x, struct ten *weights)
{
	struct ops *o = &m->ops;
	struct ten first = *weights, h, result;

	h = transformer_norm(m, x, &w->norm[0], m->shape->hidden);
	result = transformer_attention_to_memory(m, w, h, weights);
	ops_let(o, &h);
	ops_let(o, &first);
	return ops_branch(o, transformer_drops(m), x, result);
}

tensor_id whisper_layer(struct transformer *m, const struct layer_weights *w,
                        const struct layer_weights *cross, struct ten x)
{
	struct ops *o = &m->ops;
	struct ten h = transformer_norm(m, x, &w->norm[0], m->shape->hidden), weights,
	           a, b;

	a = transformer_attention(m, w, h, &weights);
	ops_let(o, &h);
	a = ops_branch(o, transformer_drops(m), x, a);
	if (cross) {
		b = listened(m, cross, a, &weights);
		ops_let(o, &a);
		a = b;
	}
	h = transformer_norm(m, a, &w->norm[1], m->shape->hidden);
	b = transformer_feed_forward(m, w, h);
	ops_let(o, &h);
	b = ops_branch(o, transformer_drops(m), a, b);
	ops_let(o, &a);
	ops_let(o, &weights);
	return b.v;
}
