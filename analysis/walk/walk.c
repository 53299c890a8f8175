/* walk.c - the steps of a training: forward, backward, optimizer.
 * Called from: plan/. */
#include "walk.h"

#include <stdlib.h>

#include "heap.h"
#include "transformer.h"
#include "states.h"

/* PyTorch's default for one handle and stream: 2 x 4096 KiB and 8 x 16 KiB. The forward and the
 * backward have a thread, and so a handle, each. cublasLt, which adds biases, has a MiB of its own
 * in each thread that runs a forward. Source: aten/src/ATen/cuda/CublasHandlePool.cpp. */
enum { WORKSPACE_KIB = 2 * 4096 + 8 * 16, LT_WORKSPACE_KIB = 1024 };

static int bytes_of(enum dtype dtype)
{
	return dtype_bits(dtype) / 8;
}

static bool known(const struct training *r)
{
	return !r->inference && r->world == 1 && !r->zero &&
	       r->offload == OFFLOAD_NONE && !r->lora_rank && !r->lora_parameters &&
	       r->sample_bytes < 0 && r->sample_elements < 0 && r->batch > 0 &&
	       r->seq > 0 &&
	       (r->checkpoint == CHECKPOINT_NONE || r->checkpoint == CHECKPOINT_FULL) &&
	       (r->optimizer == OPTIMIZER_SGD ||
	        r->optimizer == OPTIMIZER_SGD_MOMENTUM ||
	        r->optimizer == OPTIMIZER_ADAM || r->optimizer == OPTIMIZER_ADAMW) &&
	       (r->parameter == DTYPE_FP32 || r->parameter == DTYPE_BF16 ||
	        r->parameter == DTYPE_FP16) &&
	       r->master == DTYPE_NONE;
}

/* Sizes that a walk can add up, and has the time for. */
static bool sane(const struct shape *s, const struct training *r)
{
	double longest = (double)(r->target > r->seq ? r->target : r->seq);
	double tokens = (double)r->batch * longest,
	       layers = (double)shape_all_layers(s);
	double widest =
	        (double)(s->vocab > s->ffn ? s->vocab : s->ffn) + (double)s->hidden;
	double scores = (double)s->heads * (longest + (double)s->relative.rows);

	return s->layers >= 1 && layers <= 1024 && tokens < 1e12 &&
	       (double)r->batch * (double)s->pixels < 1e15 &&
	       tokens * (widest + scores) * layers < 1e16;
}

static int states_a_weight(enum optimizer optimizer)
{
	return optimizer == OPTIMIZER_ADAM || optimizer == OPTIMIZER_ADAMW ? 2
	       : optimizer == OPTIMIZER_SGD_MOMENTUM                       ? 1
	                                                                   : 0;
}

/* The step over all weights at once (foreach): Adam holds the root of the second moments beside
 * everything. Source: torch/optim/adam.py, _multi_tensor_adam. */
static void optimizer_step(struct transformer *m, bool first)
{
	struct tape *t = m->ops.tape;
	int states = states_a_weight(m->training->optimizer);
	int width = bytes_of(m->training->state);
	tensor_id *roots;

	tape_phase(t, TAPE_OPTIMIZER);
	for (size_t i = 0; first && i < m->count; i++)
		for (int k = 0; k < states; k++)
			tape_make(t, m->sizes[i] * width, TAPE_STATE);
	if (states < 2)
		return;
	roots = allocate((m->count + 1) * sizeof(*roots));
	for (size_t i = 0; i < m->count; i++)
		roots[i] = tape_make(t, m->sizes[i] * width, TAPE_TEMPORARY);
	for (size_t i = 0; i < m->count; i++)
		tape_let(t, roots[i]);
	free(roots);
}

static void one_step(struct transformer *m, bool first)
{
	struct tape *t = m->ops.tape;
	tensor_id loss;

	tape_phase(t, TAPE_FORWARD);
	loss = m->shape->decoder_layers ? seq2seq_forward(m)
	       : m->shape->encoder      ? encoder_forward(m)
	                                : transformer_forward(m);
	tape_phase(t, TAPE_BACKWARD);
	transformer_backward(m, loss);
	optimizer_step(m, first);
	ops_let(&m->ops, &m->output);
	ops_let(&m->ops, &m->memory);
	tape_zero_grad(t);
}

static void make_workspace(struct tape *t, int kib)
{
	tape_make(t, (int64_t)kib << 10, TAPE_WORKSPACE);
}

static bool has_biases(const struct shape *s)
{
	return s->qkv_bias || s->out_bias || s->mlp_bias || s->head_bias;
}

bool walk_training(const struct model *model, const struct training *training,
                   int64_t capacity, struct walk *walk)
{
	struct transformer m = {.shape = &model->shape,
	                        .training = training,
	                        .batch = training->batch,
	                        .seq = training->seq,
	                        .keys = training->seq,
	                        .bias = {.v = NO_TENSOR},
	                        .memory = {.v = NO_TENSOR},
	                        .tokens = training->batch * training->seq,
	                        .wide = bytes_of(training->parameter),
	                        .layer_count = model->shape.layers};
	bool good;

	/* T5's layers under checkpoints hand their biases to each other */
	if (model->shape.buckets && training->checkpoint != CHECKPOINT_NONE)
		return false;
	if (!model->known || model->quantised || !known(training) ||
	    !sane(&model->shape, training))
		return false;
	m.ops.tape = tape_new(capacity);
	m.ops.half = training->autocast ? 2 : 0;
	m.ops.fp16 = (training->autocast ? training->activation
	                                 : training->parameter) == DTYPE_FP16;
	tape_phase(m.ops.tape, TAPE_SETUP);
	good = transformer_make(&m) && m.elements == model->parameters;
	if (good) {
		m.ids = ops_make(&m.ops, m.tokens, 8);
		m.pixels = ops_make(&m.ops, m.batch * m.shape->pixels,
		                    m.shape->mel ? m.wide : 4);
		ops_make(&m.ops, m.tokens, 8); /* labels, and which of the ids count */
		ops_make(&m.ops, m.tokens, 8);
		make_workspace(m.ops.tape, WORKSPACE_KIB);
		make_workspace(m.ops.tape, WORKSPACE_KIB);
		if (has_biases(m.shape))
			make_workspace(m.ops.tape, LT_WORKSPACE_KIB);
		if (has_biases(m.shape) && training->checkpoint != CHECKPOINT_NONE)
			make_workspace(m.ops.tape, LT_WORKSPACE_KIB);
		one_step(&m, true);
		walk->first = tape_read(m.ops.tape);
		tape_mark(m.ops.tape);
		one_step(&m, false);
		walk->later = tape_read(m.ops.tape);
		walk->later.refused |= walk->first.refused;
	}
	transformer_free(&m);
	tape_free(m.ops.tape);
	return good;
}

const struct tape_totals *walk_worst(const struct walk *walk)
{
	return walk->first.peak.bytes > walk->later.peak.bytes ? &walk->first
	                                                       : &walk->later;
}
