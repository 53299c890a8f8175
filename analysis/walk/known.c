/* known.c - is all of a model and of its training written here? Where it is not, why.
 * Called from: walk.c. */
#include "transformer.h"
#include "optimizer.h"

#include <stdarg.h>
#include <stdio.h>

enum { MOST_LAYERS = 1024, MOST_BATCHES = 1024 };

/* The reason, as the words behind "no peak over time: ". */
struct reason {
	char *text; /* NULL: nobody asks */
	size_t size;
};

/* Always false. */
static bool no(const struct reason *why, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

static bool no(const struct reason *why, const char *format, ...)
{
	va_list arguments;

	if (!why->text)
		return false;
	va_start(arguments, format);
	vsnprintf(why->text, why->size, format, arguments);
	va_end(arguments);
	return false;
}

static bool devices_known(const struct shape *s, const struct training *r,
                          const struct reason *why)
{
	if (r->zero && r->zero != 3 && r->world > 1)
		return no(why, "'--zero %d' is not gone through", r->zero);
	if (r->zero && r->lora_rank)
		return no(why, "adapters under '--zero %d' are not gone through",
		          r->zero);
	if (r->zero && r->accumulate > 1)
		return no(why, "'--accumulate' under '--zero %d' is not gone through",
		          r->zero);
	if (r->zero && s->decoder_layers)
		return no(why,
		          "models of two stacks under '--zero %d' are not gone "
		          "through",
		          r->zero);
	if (r->zero && s->encoder)
		return no(why, "encoders under '--zero %d' are not gone through",
		          r->zero);
	/* DDP hands buffers from device to device, which is not written here */
	if ((s->stages.count || s->pictures.layers) && r->world > 1)
		return no(why, "image models on several devices are not gone through");
	if (r->offload != OFFLOAD_NONE)
		return no(why, "'--offload %s' is not gone through",
		          offload_names[r->offload]);
	return true;
}

static bool step_known(const struct training *r, const struct reason *why)
{
	if (r->inference)
		return no(why, "inference is not gone through");
	if (r->sample_bytes >= 0 || r->sample_elements >= 0)
		return no(why, "activations whose size is given have no order in time");
	if (r->checkpoint != CHECKPOINT_NONE && r->checkpoint != CHECKPOINT_FULL)
		return no(why, "'--checkpoint %s' is not gone through",
		          checkpoint_names[r->checkpoint]);
	if (r->accumulate < 1 || r->accumulate > MOST_BATCHES)
		return no(why,
		          "more than 1,024 batches before a step are not gone through");
	if (r->optimizer == OPTIMIZER_COUNT)
		return no(why, "which optimizer it has is not known");
	if (!optimizer_known(r))
		return no(why, "%s under '--zero %d' is not gone through",
		          optimizer_names[r->optimizer], r->zero);
	if (r->master != DTYPE_NONE)
		return no(why, "an optimizer with a master copy is not gone through");
	return true;
}

/* Weights of 8 bits, and the adapters that PEFT puts beside others, are not all written here. */
static bool weights_known(const struct shape *s, const struct training *r,
                          const struct reason *why)
{
	bool packed = r->parameter == DTYPE_NF4;

	if (r->parameter != DTYPE_FP32 && r->parameter != DTYPE_BF16 &&
	    r->parameter != DTYPE_FP16 && !packed)
		return no(why, "matmuls by %s weights are not gone through",
		          dtype_names[r->parameter]);
	if (r->lora_parameters)
		return no(why,
		          "where the adapters of '--lora-params' stand is not known");
	if (packed && !r->lora_rank)
		return no(why, "matmuls by nf4 weights without adapters are not gone "
		               "through");
	if (!r->lora_rank)
		return true;
	if (s->stages.count || s->pictures.layers)
		return no(why, "adapters of image models are not gone through");
	if (s->decoder_layers)
		return no(why, "adapters in models of two stacks are not gone through");
	if (s->relative.rows)
		return no(why, "adapters beside relative positions are not gone "
		               "through");
	if (packed && s->encoder)
		return no(why, "adapters in an encoder with nf4 weights are not gone "
		               "through");
	return true;
}

static bool layers_known(const struct transformer *m, const struct reason *why)
{
	const struct shape *s = m->shape;
	const char *lacking;

	/* what PyTorch writes out of scores with a bias, on cards without bf16, is not written here;
	 * Swin's windows all have one */
	if ((s->buckets || s->stages.window) && transformer_lacks_bf16(m))
		return no(why, "scores with a bias in bf16 on a card before Ampere are "
		               "not gone through");
	/* T5's layers hand their biases to each other */
	if (s->buckets && m->training->checkpoint != CHECKPOINT_NONE)
		return no(why,
		          "T5's layers under '--checkpoint %s' are not gone "
		          "through",
		          checkpoint_names[m->training->checkpoint]);
	if (s->unwalked)
		return no(why, "%s, which is not gone through", s->unwalked);
	if (!s->stages.count && !s->pictures.layers) {
		if (s->head == HEAD_NONE)
			return no(why, "the head of its class is not gone through");
		if (s->norms < 1 || s->norms > 4)
			return no(
			        why,
			        "what a layer of plain sizes is made of is not known");
	}
	lacking = experts_lacking(m);
	return !lacking || no(why, "%s", lacking);
}

/* Sizes that a walk can add up, and has the time for. */
static bool sane(const struct shape *s, const struct training *r,
                 const struct reason *why)
{
	double longest = (double)(r->target > r->seq ? r->target : r->seq);
	double tokens = (double)r->batch * longest,
	       layers = (double)shape_all_layers(s);
	double experts =
	        (double)s->experts.chosen * (double)(s->experts.width + s->hidden);
	double widest = (double)(s->vocab > s->ffn ? s->vocab : s->ffn) +
	                (double)s->hidden + experts;
	double scores = (double)s->heads * (longest + (double)s->relative.rows);
	bool good;

	if (layers > MOST_LAYERS)
		return no(why, "more than 1,024 layers are not gone through");
	if (s->stages
	            .count) /* a module reads as many numbers as a picture has, or some more */
		good = (double)r->batch * (double)s->pixels < 1e12;
	else
		good = s->layers >= 1 && tokens < 1e12 &&
		       (double)r->batch * (double)s->pixels < 1e15 &&
		       tokens * (widest + scores) * layers < 1e16;
	return good || no(why, "a step of this size is too large to go through");
}

bool walk_is_written(const struct transformer *m, char *text, size_t size)
{
	const struct shape *s = m->shape;
	const struct training *r = m->training;
	const struct reason why = {text, size};

	if (!step_known(r, &why))
		return false;
	if (r->batch < 1 || (r->seq < 1 && !s->stages.count))
		return no(&why, "batch and sequence are not known");
	return devices_known(s, r, &why) && weights_known(s, r, &why) &&
	       layers_known(m, &why) && sane(s, r, &why);
}
