/* walk.c - the steps of a training: forward, backward, optimizer.
 * Called from: plan/, recognise/, reconcile/. */
#include "walk.h"

#include <stdlib.h>

#include "heap.h"
#include "transformer.h"
#include "optimizer.h"

enum { HOPPER = 9 };

static bool known(const struct shape *s, const struct training *r)
{
	return !r->inference && (r->world == 1 || !r->zero || r->zero == 3) &&
	       r->offload == OFFLOAD_NONE && (!r->lora_rank || !r->zero) &&
	       !r->lora_parameters && r->sample_bytes < 0 && r->sample_elements < 0 &&
	       r->batch > 0 && (r->seq > 0 || s->stages.count) &&
	       (r->checkpoint == CHECKPOINT_NONE || r->checkpoint == CHECKPOINT_FULL) &&
	       r->accumulate >= 1 && r->accumulate <= 1024 && optimizer_known(r) &&
	       (r->accumulate == 1 || !r->zero) &&
	       (r->parameter == DTYPE_FP32 || r->parameter == DTYPE_BF16 ||
	        r->parameter == DTYPE_FP16 ||
	        (r->parameter == DTYPE_NF4 && r->lora_rank)) &&
	       r->master == DTYPE_NONE;
}

/* Sizes that a walk can add up, and has the time for. */
static bool sane(const struct shape *s, const struct training *r)
{
	double longest = (double)(r->target > r->seq ? r->target : r->seq);
	double tokens = (double)r->batch * longest,
	       layers = (double)shape_all_layers(s);
	double experts =
	        (double)s->experts.chosen * (double)(s->experts.width + s->hidden);
	double widest = (double)(s->vocab > s->ffn ? s->vocab : s->ffn) +
	                (double)s->hidden + experts;
	double scores = (double)s->heads * (longest + (double)s->relative.rows);

	if (s->stages
	            .count) /* a module reads as many numbers as a picture has, or some more */
		return layers <= 1024 && (double)r->batch * (double)s->pixels < 1e12;
	return s->layers >= 1 && layers <= 1024 && tokens < 1e12 &&
	       (double)r->batch * (double)s->pixels < 1e15 &&
	       tokens * (widest + scores) * layers < 1e16;
}

/* PEFT's adapters of a second stack and of relative positions are not written here. */
static bool adapters_known(const struct shape *s, const struct training *r)
{
	return !r->lora_rank || (!s->decoder_layers && !s->relative.rows &&
	                         (r->parameter != DTYPE_NF4 || !s->encoder));
}

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

/* Is all of this model and of this training written here? */
static bool is_written(const struct transformer *m)
{
	const struct shape *s = m->shape;
	const struct training *training = m->training;

	/* what PyTorch writes out of scores with a bias, on cards without bf16, is not written here */
	if (s->buckets && transformer_lacks_bf16(m))
		return false;
	/* T5's layers under checkpoints hand their biases to each other */
	if (s->buckets && training->checkpoint != CHECKPOINT_NONE)
		return false;
	if (!experts_known(m))
		return false;
	/* ... nor of Swin's windows, which all have a bias */
	if (s->stages.window && transformer_lacks_bf16(m))
		return false;
	/* DDP hands buffers from device to device, which is not written here */
	if ((s->stages.count || s->pictures.layers) &&
	    (training->world > 1 || training->lora_rank))
		return false;
	if (s->unwalked || !known(s, training) ||
	    (training->zero && (s->encoder || s->decoder_layers)) ||
	    !sane(s, training) || !adapters_known(s, training))
		return false;
	return true;
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
	                        .other_mask = {.v = NO_TENSOR},
	                        .memory = {.v = NO_TENSOR},
	                        .named = {.v = NO_TENSOR},
	                        .asked = {.v = NO_TENSOR},
	                        .tokens =
	                                training->batch *
	                                (model->shape.stages.count ? 1 : training->seq),
	                        .wide = dtype_bytes(training->parameter == DTYPE_NF4
	                                                    ? training->residual
	                                                    : training->parameter),
	                        .layer_count = model->shape.layers};
	bool good;

	m.ops.silicon = silicon_of(training);
	m.ops.half = training->autocast ? 2 : 0;
	m.ops.fp16 = (training->autocast ? training->activation
	                                 : training->parameter) == DTYPE_FP16;
	if (!model->known || model->quantised || !is_written(&m))
		return false;
	m.ops.tape = tape_new(capacity);
	m.ops.unpacked = dtype_bytes(training->activation);
	m.ops.twice_packed = training->double_quant;
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
