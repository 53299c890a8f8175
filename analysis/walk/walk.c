/* walk.c - the steps of a training: forward, backward, optimizer.
 * Called from: plan/, recognise/, reconcile/. */
#include "walk.h"

#include <stdio.h>
#include <stdlib.h>

#include "heap.h"
#include "transformer.h"
#include "optimizer.h"

enum { HOPPER = 9 };

static tensor_id forward(struct transformer *m)
{
	return m->shape->stages.count     ? stages_forward(m)
	       : m->pictures              ? clip_forward(m)
	       : m->shape->decoder_layers ? seq2seq_forward(m)
	       : m->shape->encoder        ? encoder_forward(m)
	                                  : transformer_forward(m);
}

/* Of the batches that are accumulated, each leaves its outputs until the next has made its own. Gives
 * the bytes that the first one's forward left. */
static int64_t one_step(struct transformer *m, bool first)
{
	int64_t left = 0;
	struct tape *t = m->ops.tape;
	struct ten output = none, memory = none, asked = none;
	tensor_id loss;

	for (int64_t i = 0; i < m->training->accumulate; i++) {
		int64_t before = tape_allocated(t);
		tape_phase(t, TAPE_FORWARD);
		loss = forward(m);
		ops_let(&m->ops, &output);
		ops_let(&m->ops, &memory);
		ops_let(&m->ops, &asked);
		tape_drop_asked(t);
		if (m->training->loss_alone)
			ops_let(&m->ops, &m->output);
		output = m->output;
		memory = m->memory;
		asked = m->asked;
		left = i ? left : tape_allocated(t) - before;
		tape_phase(t, TAPE_BACKWARD);
		transformer_backward(m, loss);
	}
	optimizer_walk(m, first);
	ops_let(&m->ops, &output);
	ops_let(&m->ops, &memory);
	ops_let(&m->ops, &asked);
	tape_drop_asked(t);
	tape_zero_grad(t);
	if (m->sharding)
		sharding_zero_grad(m->sharding);
	return left;
}

/* FSDP2: where the training is mixed, its MixedPrecisionPolicy gathers in 16 bits and reduces in
 * fp32; autocast has nothing to do then. */
static void share(struct transformer *m)
{
	const struct training *r = m->training;
	struct sharded_widths widths = {m->wide, m->wide, m->wide};

	if (r->zero != 3 || r->world < 2)
		return;
	if (r->autocast) {
		widths.gathered = m->wide = 2;
		m->ops.half = 0;
	}
	m->sharding = sharding_new(m->ops.tape, r->world, &widths);
}

/* The card whose kernels run: of a training that names none, the A100. */
static const struct silicon *silicon_of(const struct training *r)
{
	static const struct silicon a100 = {8, 108, 2048};

	return r->silicon.major ? &r->silicon : &a100;
}

int64_t walk_cublas_workspace(const struct training *r)
{
	return r->silicon.major == HOPPER ? WALK_CUBLAS_WORKSPACE_HOPPER
	                                  : WALK_CUBLAS_WORKSPACE;
}

static void two_steps(struct transformer *m, struct walk *walk)
{
	struct tape *t = m->ops.tape;

	m->ids = ops_make(&m->ops, m->tokens, 8);
	m->pixels = ops_make(&m->ops, m->batch * m->shape->pixels, m->wide);
	ops_make(&m->ops, m->tokens, 8); /* labels, and which of the ids count */
	if (!m->pictures)
		ops_make(&m->ops, m->tokens, 8);
	tape_workspaces(t, walk_cublas_workspace(m->training), WALK_CUBLASLT_WORKSPACE);
	one_step(m, true);
	walk->first = tape_read(t);
	tape_mark(t);
	walk->left = one_step(m, false);
	walk->later = tape_read(t);
	walk->later.refused |= walk->first.refused;
}

static bool made(struct transformer *m)
{
	return m->shape->stages.count      ? stages_make(m)
	       : m->shape->pictures.layers ? clip_make(m)
	                                   : transformer_make(m);
}

static struct transformer transformer_of(const struct model *model,
                                         const struct training *training)
{
	int64_t length = model->shape.stages.count ? 1 : training->seq;
	struct transformer m = {.shape = &model->shape,
	                        .training = training,
	                        .batch = training->batch,
	                        .seq = training->seq,
	                        .keys = training->seq,
	                        .bias = {.v = NO_TENSOR},
	                        .other_mask = {.v = NO_TENSOR},
	                        .memory = {.v = NO_TENSOR},
	                        .named = {.v = NO_TENSOR},
	                        .asked = {.v = NO_TENSOR},
	                        .tokens = training->batch * length,
	                        .wide = dtype_bytes(training->parameter == DTYPE_NF4
	                                                    ? training->residual
	                                                    : training->parameter),
	                        .layer_count = model->shape.layers};

	m.ops.silicon = silicon_of(training);
	m.ops.half = training->autocast ? 2 : 0;
	m.ops.fp16 = (training->autocast ? training->activation
	                                 : training->parameter) == DTYPE_FP16;
	m.ops.unpacked = dtype_bytes(training->activation);
	m.ops.twice_packed = training->double_quant;
	return m;
}

bool walk_knows(const struct model *model, const struct training *training, char *why,
                size_t size)
{
	struct transformer m;

	if (!model->known) {
		snprintf(why, size, "the shape of the model is not known");
		return false;
	}
	if (model->quantised) {
		snprintf(why, size,
		         "weights that are packed already are not gone through");
		return false;
	}
	m = transformer_of(model, training);
	return walk_is_written(&m, why, size);
}

bool walk_training(const struct model *model, const struct training *training,
                   int64_t capacity, struct walk *walk)
{
	struct transformer m;
	bool good;

	if (!walk_knows(model, training, NULL, 0))
		return false;
	m = transformer_of(model, training);
	m.ops.tape = tape_new(capacity);
	tape_phase(m.ops.tape, TAPE_SETUP);
	share(&m);
	good = made(&m) && m.elements == model->parameters;
	if (good && !training->zero && training->world > 1)
		ddp_buckets(m.ops.tape, m.sizes, m.count,
		            training->lora_rank ? dtype_bytes(training->adapter)
		                                : m.wide);
	if (good)
		two_steps(&m, walk);
	stages_free(&m);
	clip_free(&m);
	transformer_free(&m);
	tape_free(m.ops.tape);
	return good;
}

const struct tape_totals *walk_worst(const struct walk *walk)
{
	return walk->first.peak.bytes > walk->later.peak.bytes ? &walk->first
	                                                       : &walk->later;
}
