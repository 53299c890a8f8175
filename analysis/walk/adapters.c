/* adapters.c - LoRA's adapters beside the matmuls of a layer, as PEFT runs them: what the frozen
 * matmul gives, and to it the product of two thin ones, in the adapters' dtype.
 * Source: Hu et al. 2021, section 4.1; peft/tuners/lora/layer.py, and bnb.py where the
 * weight is packed, 0.21.
 * Called from: walk/. */
#include "transformer.h"

/* Falcon multiplies by the transposed weight itself, which is no leaf: autocast casts it each time,
 * and keeps no copy of it. */
static struct ten as_multiplied(struct transformer *m, struct ten weight)
{
	struct ops *o = &m->ops;

	if (m->shape->family != FAMILY_FALCON || !o->half || weight.width == OPS_PACKED)
		return ops_hold(o, weight);
	return ops_to(o, weight, o->half);
}

struct ten transformer_linear(struct transformer *m, const struct layer_weights *w,
                              enum lora_target which, struct ten x, struct ten weight,
                              struct ten bias, int64_t in, int64_t out)
{
	struct ops *o = &m->ops;
	const struct adapter *adapter = &w->adapters[which];
	int64_t rank = m->training->lora_rank;
	struct ten used = as_multiplied(m, weight),
	           result = ops_linear(o, x, used, bias, in, out), given = result;
	struct ten input, low, high, more, sum;
	int width;
	bool packed = weight.width == OPS_PACKED, cast = !packed || !o->half;

	ops_let(o, &used);
	if (!adapter->there)
		return result;
	if (packed) {
		given = ops_copy(o, result);
		ops_let(o, &result);
	}
	input = cast ? ops_to(o, x, adapter->down.width) : ops_hold(o, x);
	low = ops_linear(o, input, adapter->down, none, in, rank);
	high = ops_linear(o, low, adapter->up, none, rank, out);
	ops_let(o, &low);
	more = ops_unary(o, high, SAVE_NONE); /* times alpha / rank */
	ops_let(o, &high);
	if (packed && cast) {
		high = ops_to(o, more, given.width);
		ops_let(o, &more);
		more = high;
	}
	sum = ops_add(o, given, more);
	width = given.width;
	ops_let(o, &given);
	ops_let(o, &more);
	result = ops_to(o, sum, width);
	ops_let(o, &sum);
	ops_let(o, &input);
	return result;
}
