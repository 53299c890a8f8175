/* gated.c - a feed-forward part with a gate: act(gate(x)) * up(x), and a matmul of it.
 * Called from: experts.c, feed_forward.c, llama4.c. */
#include "transformer.h"

struct ten transformer_gated(struct transformer *m, const struct layer_weights *w,
                             struct ten x, int64_t width)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten gate, up, wide, out;

	if (s->fused || s->fused_gate) {
		struct ten both = transformer_linear(m, w, LORA_GATE, x, w->gate, none,
		                                     s->hidden, 2 * width);
		tensor_id parts[2];
		tape_split(o->tape, both.v, 2, parts);
		ops_let(o, &both);
		gate = (struct ten){parts[0], both.count / 2, both.width};
		up = (struct ten){parts[1], gate.count, gate.width};
		gate.count = up.count = x.count / s->hidden * width;
		gate.width = up.width = o->half ? o->half : x.width;
		wide = transformer_function(o, s->gate, gate);
	} else {
		gate = transformer_linear(m, w, LORA_GATE, x, w->gate, w->gate_bias,
		                          s->hidden, width);
		wide = transformer_function(o, s->gate, gate);
		ops_let(o, &gate);
		up = transformer_linear(m, w, LORA_UP, x, w->up, w->up_bias, s->hidden,
		                        width);
	}
	out = ops_mul(o, wide, up);
	ops_let(o, &wide);
	ops_let(o, &up);
	wide = transformer_linear(m, w, LORA_DOWN, out, w->down, w->down_bias, width,
	                          s->hidden);
	ops_let(o, &out);
	if (s->fused || s->fused_gate) /* a variable until the function returns */
		ops_let(o, &gate);
	return wide;
}
