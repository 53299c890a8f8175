/* weights.c - the list of a model's weights, one after the other.
 * Called from: formula/, plan/, recognise/, reconcile/, trace/. */
#include "model.h"

#include "heap.h"

int64_t weight_size(const struct weight *weight)
{
	int64_t one = weight->columns ? weight->rows * weight->columns : weight->rows;

	return weight->stacked ? one * weight->stacked : one;
}

int64_t weight_elements(const struct weight *weight)
{
	return weight_size(weight) * weight->copies;
}

int model_add(struct model *model, struct weight weight)
{
	int64_t size, columns = weight.columns ? weight.columns : 1;

	if (!weight.rows || !weight.copies)
		return 0;
	if (__builtin_mul_overflow(weight.rows, columns, &size) ||
	    __builtin_mul_overflow(size, weight.stacked ? weight.stacked : 1, &size) ||
	    __builtin_mul_overflow(size, weight.copies, &size) ||
	    __builtin_add_overflow(size, model->parameters, &size))
		return -1;
	model->parameters = size;
	model->weights = grow(model->weights, model->count, &model->room,
	                      sizeof(*model->weights));
	model->weights[model->count++] = weight;
	return 0;
}

int model_linear(struct model *model, enum role role, int target, int64_t in,
                 int64_t out, int64_t copies, bool bias)
{
	return model_add(model, (struct weight){.role = role,
	                                        .rows = out,
	                                        .columns = in,
	                                        .copies = copies,
	                                        .target = target}) |
	       model_add(model, (struct weight){.role = ROLE_BIAS,
	                                        .rows = bias ? out : 0,
	                                        .copies = copies,
	                                        .target = -1});
}

int model_feed_forward(struct model *model, const struct shape *s, int64_t width,
                       int64_t copies)
{
	int bad = 0;

	if (s->mlp == MLP_GATED)
		bad |= model_linear(model, ROLE_MLP, LORA_GATE, s->hidden, width,
		                    copies, s->mlp_bias);
	bad |= model_linear(model, ROLE_MLP, LORA_UP, s->hidden, width, copies,
	                    s->mlp_bias);
	return bad | model_linear(model, ROLE_MLP, LORA_DOWN, width, s->hidden, copies,
	                          s->mlp_bias);
}
