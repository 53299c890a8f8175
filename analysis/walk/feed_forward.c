/* feed_forward.c - the feed-forward part of a layer: experts, with a gate, or two matmuls and a function
 * between them.
 * Called from: walk/. */
#include "transformer.h"

struct ten transformer_feed_forward(struct transformer *m,
                                    const struct layer_weights *w, struct ten x)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten up, wide, out;

	if (w->sparse)
		return experts_forward(m, w, x);
	if (s->mlp == MLP_GATED)
		return transformer_gated(m, w, x, s->ffn);
	up = transformer_linear(m, w, LORA_UP, x, w->up, w->up_bias, s->hidden, s->ffn);
	wide = transformer_function(o, s->mlp, up);
	ops_let(o, &up);
	out = transformer_linear(m, w, LORA_DOWN, wide, w->down, w->down_bias, s->ffn,
	                         s->hidden);
	transformer_let_read(m, &wide);
	return out;
}
