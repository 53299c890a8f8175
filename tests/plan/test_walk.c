/* test_walk.c - the mini-autograd of `plan` beside sums worked out by hand, and the walk of whole
 * models beside itself. tests/plan/accuracy.py holds it against real runs. */
#include "../test.h"

#include <stdlib.h>

#include "ops.h"
#include "walk.h"

enum { KIB = 1024 };

static struct ops new_ops(void)
{
	return (struct ops){.tape = tape_new(0)};
}

static struct ten weight_of(struct ops *o, int64_t count)
{
	return (struct ten){tape_weight(o->tape, count * 4, true), count, 4};
}

static int64_t now(struct ops *o)
{
	tape_mark(o->tape);
	return tape_read(o->tape).peak.bytes;
}

TEST("a linear layer keeps its input for the weight's gradient, and nothing where that "
     "is "
     "frozen")
{
	for (int trained = 0; trained < 2; trained++) {
		struct ops o = new_ops();
		struct ten w = {tape_weight(o.tape, 64 * KIB, trained), 16 * KIB, 4};
		struct ten x = ops_make(&o, 2 * KIB, 4), y;
		/* 16 rows of 128, times 128 x 128 */
		y = ops_linear(&o, x, w, none, 128, 128);
		ops_let(&o, &x);
		CHECK(now(&o) == (64 + 8 + (trained ? 8 : 0)) * KIB);
		ops_let(&o, &y);
		tape_free(o.tape);
	}
}

TEST("a packed weight is unpacked for its matmul alone, and saves neither itself nor "
     "the input")
{
	struct ops o = new_ops();
	struct ten w = {tape_weight(o.tape, 8 * KIB, false), 16 * KIB, OPS_PACKED};
	struct ten before = weight_of(&o, 16 * KIB), x = ops_make(&o, 2 * KIB, 4), h, y;

	o.unpacked = 2;
	h = ops_linear(&o, x, before, none, 128, 128); /* a gradient comes this far */
	ops_let(&o, &x);
	tape_mark(o.tape);
	y = ops_linear(&o, h, w, none, 128, 128);
	/* weights, x, h; h in 16 bits, the weight unpacked, the result */
	CHECK(tape_read(o.tape).peak.bytes == (72 + 8 + 8 + 4 + 32 + 4) * KIB);
	ops_let(&o, &h);
	CHECK(now(&o) == (72 + 8 + 8) * KIB); /* x, of the matmul before, and y */
	ops_let(&o, &y);
	tape_free(o.tape);
}

TEST("a backward gives what was saved back, and leaves the weights' gradients")
{
	struct ops o = new_ops();
	struct ten first = weight_of(&o, 16 * KIB), second = weight_of(&o, 16 * KIB);
	struct ten x = ops_make(&o, 2 * KIB, 4), h, y, loss;

	h = ops_linear(&o, x, first, none, 128, 128);
	y = ops_linear(&o, h, second, none, 128, 128);
	loss = ops_mean(&o, y, 2 * KIB);
	ops_let(&o, &x);
	ops_let(&o, &h);
	ops_let(&o, &y);
	CHECK(now(&o) == (128 + 8 + 8) * KIB + 512); /* x and h are saved, y is not */
	tape_phase(o.tape, TAPE_BACKWARD);
	tape_backward(o.tape, loss.v);
	CHECK(now(&o) == (128 + 128) * KIB);
	tape_zero_grad(o.tape);
	CHECK(now(&o) == 128 * KIB);
	tape_free(o.tape);
}

TEST("a second gradient is added in place where nobody else holds the first")
{
	struct ops o = new_ops();
	struct ten w = weight_of(&o, 16 * KIB), x = ops_make(&o, 2 * KIB, 4), h, f, y;
	struct tape_totals totals;

	h = ops_linear(&o, x, w, none, 128, 128);
	f = ops_unary(&o, h, SAVE_NONE);
	y = ops_add(&o, h, f); /* a residual stream */
	ops_let(&o, &f);
	ops_let(&o, &h);
	tape_mark(o.tape);
	tape_phase(o.tape, TAPE_BACKWARD);
	tape_backward(o.tape, y.v);
	totals = tape_read(o.tape);
	/* the weight and its gradient, x, and the stream's gradient, once */
	CHECK(totals.peak.bytes == (64 + 64 + 8) * KIB + 512);
	tape_free(o.tape);
}

static tensor_id two_linears(struct tape *tape, void *context, tensor_id input)
{
	struct ops o = {.tape = tape};
	struct ten *w = context, x = {input, 2 * KIB, 4};
	struct ten h = ops_linear(&o, x, w[0], none, 128, 128);
	struct ten y = ops_linear(&o, h, w[1], none, 128, 128);

	ops_let(&o, &h);
	return y.v;
}

TEST("what is checkpointed keeps its input alone, and has the same gradients")
{
	struct ops o = new_ops();
	struct ten w[2], x, out;

	w[0] = weight_of(&o, 16 * KIB);
	w[1] = weight_of(&o, 16 * KIB);
	x = ops_make(&o, 2 * KIB, 4);
	out = (struct ten){tape_checkpoint(o.tape, two_linears, w, x.v), 2 * KIB, 4};
	ops_let(&o, &x);
	CHECK(now(&o) == (128 + 8 + 8) * KIB); /* x, and what the layer gave */
	tape_backward(o.tape, out.v);
	CHECK(now(&o) == (128 + 128) * KIB);
	tape_free(o.tape);
}

static bool trained_by(const char *name, const struct training *training,
                       int64_t capacity, struct walk *walk)
{
	struct model model = {0};
	char nearest[160];
	bool known;

	CHECK(model_find(name, &model.shape, nearest, sizeof(nearest)));
	CHECK(!model_from_shape(&model, &model.shape));
	model.known = true;
	known = walk_training(&model, training, capacity, walk);
	model_free(&model);
	return known;
}

static bool walked(const char *name, enum precision precision, int64_t batch,
                   enum checkpoint checkpoint, int64_t capacity, struct walk *walk)
{
	struct training training;

	training_default(&training, precision);
	training.batch = batch;
	training.seq = 512;
	training.checkpoint = checkpoint;
	training.sample_bytes = training.sample_elements = -1;
	return trained_by(name, &training, capacity, walk);
}

TEST("what is bounded asks of each number in its backward, by a byte for either side")
{
	struct ops o = new_ops();
	struct ten x = weight_of(&o, 16 * KIB), y = ops_clamp(&o, x);

	tape_mark(o.tape);
	tape_backward(o.tape, y.v);
	/* x, y's gradient, two bytes for each number, x's gradient; y is gone */
	CHECK(tape_read(o.tape).peak.bytes == (64 + 32 + 64) * KIB + 512);
	tape_free(o.tape);
}

static tensor_id linear_then_twice(struct tape *tape, void *context, tensor_id input)
{
	struct ops o = {.tape = tape};
	struct ten *w = context, x = {input, 2 * KIB, 4};
	struct ten h = ops_linear(&o, x, *w, none, 128, 128);
	struct ten y = ops_unary(&o, h, SAVE_NONE);

	ops_let(&o, &h);
	return y.v;
}

TEST("a node of a checkpoint behind all that it saves runs before the layer does again")
{
	struct ops o = new_ops();
	struct ten w = weight_of(&o, 16 * KIB), x = ops_make(&o, 2 * KIB, 4), out;

	out = (struct ten){tape_checkpoint(o.tape, linear_then_twice, &w, x.v), 2 * KIB,
	                   4};
	ops_let(&o, &x);
	tape_mark(o.tape);
	tape_backward(o.tape, out.v);
	/* the weight, x, the result's gradient and that of what was doubled; x was the last to be
	 * saved, so the layer makes nothing again */
	CHECK(tape_read(o.tape).phase[TAPE_RECOMPUTE].bytes ==
	      (64 + 8) * KIB + 512 + 8 * KIB);
	tape_free(o.tape);
}

TEST("a step without an allocator has the peak of one with it, or a little less")
{
	struct walk sums, held;

	CHECK(walked("gpt2", PRECISION_FP32, 4, CHECKPOINT_NONE, 0, &sums));
	CHECK(walked("gpt2", PRECISION_FP32, 4, CHECKPOINT_NONE, INT64_MAX, &held));
	CHECK(walk_worst(&sums)->peak.bytes <= walk_worst(&held)->peak.bytes);
	CHECK(walk_worst(&sums)->peak.bytes * 100 > walk_worst(&held)->peak.bytes * 98);
	CHECK(held.later.reserved >= held.later.peak.bytes);
}

TEST("a loop that keeps the loss alone lets go of the logits before the backward")
{
	struct training training;
	struct walk kept, alone;
	int64_t logits = INT64_C(4) * 512 * 50257 * 4;

	CHECK(walked("gpt2", PRECISION_FP32, 4, CHECKPOINT_NONE, 0, &kept));
	training_default(&training, PRECISION_FP32);
	training.batch = 4;
	training.seq = 512;
	training.sample_bytes = training.sample_elements = -1;
	training.loss_alone = true;
	CHECK(trained_by("gpt2", &training, 0, &alone));
	CHECK(llabs(kept.left - alone.left - logits) < KIB);
	CHECK(walk_worst(&alone)->peak.bytes < walk_worst(&kept)->peak.bytes);
}

TEST("checkpoints lower the peak; states come with the second step")
{
	struct walk plain, less;

	CHECK(walked("llama-3.2-1b", PRECISION_BF16, 4, CHECKPOINT_NONE, 0, &plain));
	CHECK(walked("llama-3.2-1b", PRECISION_BF16, 4, CHECKPOINT_FULL, 0, &less));
	CHECK(walk_worst(&less)->peak.bytes < walk_worst(&plain)->peak.bytes);
	CHECK(!plain.first.phase[TAPE_FORWARD].bucket[TAPE_STATE]);
	CHECK(plain.later.phase[TAPE_FORWARD].bucket[TAPE_STATE] > 0);
}

TEST("adapters alone have gradients and states, and packing leaves a quarter of 16 "
     "bits")
{
	struct training r;
	struct walk full, lora, packed;

	training_default(&r, PRECISION_BF16);
	r.batch = 1;
	r.seq = 64;
	r.sample_bytes = r.sample_elements = -1;
	CHECK(trained_by("llama-3.2-1b", &r, 0, &full));
	r.lora_rank = 8;
	r.lora_targets = 1u << LORA_Q | 1u << LORA_V;
	r.state = r.adapter;
	CHECK(trained_by("llama-3.2-1b", &r, 0, &lora));
	r.parameter = DTYPE_NF4;
	CHECK(trained_by("llama-3.2-1b", &r, 0, &packed));
	/* 16 layers, on q of 2048 x 2048 and v of 2048 x 512: fp32, two states */
	CHECK(lora.later.peak.bucket[TAPE_STATE] ==
	      16 * 2 * 4 * 8 * (2048 + 2048 + 2048 + 512));
	CHECK(lora.later.peak.bytes < full.later.peak.bytes / 3);
	/* 973 M elements in the layers' matmuls */
	CHECK(full.later.peak.bucket[TAPE_PARAMETER] -
	              packed.later.peak.bucket[TAPE_PARAMETER] >
	      INT64_C(973000000) * 5 / 4);
}

TEST("a norm that is registered first stands between the table of words and a layer's "
     "matmul")
{
	const int64_t table = INT64_C(50304) * 2048 * 4;
	struct training r;
	struct walk walk;

	training_default(&r, PRECISION_FP32);
	r.batch = 1;
	r.seq = 64;
	r.optimizer = OPTIMIZER_ADAFACTOR;
	r.sample_bytes = r.sample_elements = -1;
	CHECK(trained_by("pythia-1b", &r, 0, &walk));
	/* the table's own update is the largest, and gone before the matmul's */
	CHECK(walk.later.phase[TAPE_OPTIMIZER].bucket[TAPE_TEMPORARY] >= table);
	CHECK(walk.later.phase[TAPE_OPTIMIZER].bucket[TAPE_TEMPORARY] <
	      table + (1 << 20));
}

TEST("a device that is too small refuses, and one of the reserved size does not")
{
	struct walk walk, tried;

	CHECK(walked("gpt2", PRECISION_BF16, 2, CHECKPOINT_NONE, INT64_MAX, &walk));
	CHECK(!walk.later.refused);
	CHECK(walked("gpt2", PRECISION_BF16, 2, CHECKPOINT_NONE, walk.later.reserved,
	             &tried));
	CHECK(!tried.later.refused);
	CHECK(walked("gpt2", PRECISION_BF16, 2, CHECKPOINT_NONE,
	             walk_worst(&walk)->peak.bytes - (8 << 20), &tried));
	CHECK(tried.later.refused);
}

TEST("what the walk does not know it leaves to the sum")
{
	struct walk walk;
	CHECK(!walked("gpt2", PRECISION_FP32, 4, CHECKPOINT_SELECTIVE, 0, &walk));
}

TEST_MAIN
