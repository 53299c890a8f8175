/* ops.c - PyTorch's operators on a tape.
 * Called from: walk/. */
#include "ops.h"

struct ten ops_make(struct ops *o, int64_t count, int width)
{
	return (struct ten){tape_make(o->tape, count * width, TAPE_ACTIVATION), count,
	                    width};
}

void ops_let(struct ops *o, struct ten *x)
{
	tape_let(o->tape, x->v);
	*x = none;
}

struct ten ops_hold(struct ops *o, struct ten x)
{
	tape_hold(o->tape, x.v);
	return x;
}

static int64_t bytes_of(struct ten x)
{
	return x.count * x.width;
}

static struct ten result_of(struct ops *o, const struct op *op, int64_t count,
                            int width)
{
	return (struct ten){tape_result(o->tape, op, count * width), count, width};
}

struct ten ops_view(struct ops *o, struct ten x)
{
	struct op op = {.in = {x.v}, .give = {GIVE_SAME}, .inputs = 1};

	return (struct ten){tape_view(o->tape, &op, x.v), x.count, x.width};
}

struct ten ops_to(struct ops *o, struct ten x, int width)
{
	struct op op = {
	        .in = {x.v}, .give = {GIVE_NEW}, .grad = {bytes_of(x)}, .inputs = 1};

	if (x.width == width)
		return ops_hold(o, x);
	return result_of(o, &op, x.count, width);
}

struct ten ops_cast_weight(struct ops *o, struct ten weight)
{
	if (!o->half || weight.v == NO_TENSOR || weight.width == o->half)
		return weight.v == NO_TENSOR ? weight : ops_hold(o, weight);
	return (struct ten){tape_cast_weight(o->tape, weight.v, weight.count * o->half),
	                    weight.count, o->half};
}

/* Bytes of the scales of packed elements: one of 4 bytes for 64 of them. */
static int64_t scales_of(struct ten weight)
{
	return (weight.count + 63) / 64 * 4;
}

/* A product saves each operand for the other's gradient, and lets go of the second one first. */
static void save_operands(struct ops *o, struct op *op, struct ten a, struct ten b)
{
	if (tape_wants_grad(o->tape, a.v))
		op->saves[op->save_count++] = b.v;
	if (tape_wants_grad(o->tape, b.v))
		op->saves[op->save_count++] = a.v;
}

/* bitsandbytes' MatMul4Bit: the weight is unpacked for each matmul, forward and backward, and
 * neither the input nor the unpacked weight is saved.
 * Source: bitsandbytes/autograd/_functions.py and backends/cuda/ops.py, 0.50. */
static struct ten packed_linear(struct ops *o, struct ten x, struct ten weight,
                                int64_t in, int64_t out)
{
	struct ten input = ops_to(o, x, o->unpacked), scales = none, whole, narrow,
	           result;
	struct op op = {.in = {input.v},
	                .give = {GIVE_NEW},
	                .grad = {bytes_of(input)},
	                .inputs = 1,
	                .before = {0, weight.count * o->unpacked},
	                .library = LIBRARY_CUBLAS};

	if (o->twice_packed) {
		op.before[0] = scales_of(weight);
		scales = ops_make(o, scales_of(weight), 1);
	}
	whole = ops_make(o, weight.count, o->unpacked);
	narrow = result_of(o, &op, x.count / in * out, o->unpacked);
	ops_let(o, &whole);
	if (o->twice_packed)
		ops_let(o, &scales);
	result = ops_to(o, narrow, x.width);
	ops_let(o, &narrow);
	ops_let(o, &input);
	return result;
}

struct ten ops_linear(struct ops *o, struct ten x, struct ten weight, struct ten bias,
                      int64_t in, int64_t out)
{
	struct ten input, w, b, result;
	int64_t rows = x.count / in;
	struct op op = {.inputs = 2,
	                .viewed = !o->flat,
	                .library = bias.v == NO_TENSOR ? LIBRARY_CUBLAS
	                                               : LIBRARY_CUBLASLT};

	if (weight.width == OPS_PACKED)
		return packed_linear(o, x, weight, in, out);
	/* autocast's wrapper casts its last argument first */
	b = ops_cast_weight(o, bias);
	w = ops_cast_weight(o, weight);
	input = o->half ? ops_to(o, x, o->half) : ops_hold(o, x);
	if (b.v == NO_TENSOR)
		save_operands(o, &op, input, w);
	else /* addmm lets go of its first one first */
		save_operands(o, &op, w, input);
	op.in[0] = input.v;
	op.in[1] = w.v;
	op.give[0] = op.give[1] = GIVE_NEW;
	op.grad[0] = bytes_of(input);
	op.grad[1] = bytes_of(w);
	if (b.v != NO_TENSOR) {
		op.in[op.inputs++] = b.v;
		op.give[2] = GIVE_ROWS;
		op.grad[2] = out * w.width;
		op.summing = ops_sum_buffer(o, rows, out);
	} else {
		op.last_first = true;
	}
	result = result_of(o, &op, rows * out, w.width);
	ops_let(o, &input);
	ops_let(o, &w);
	if (b.v != NO_TENSOR)
		ops_let(o, &b);
	return result;
}

struct ten ops_clamp(struct ops *o, struct ten x)
{
	struct op op = {.in = {x.v},
	                .give = {GIVE_NEW},
	                .grad = {bytes_of(x)},
	                .saves = {x.v},
	                .inputs = 1,
	                .save_count = 1,
	                .before = {x.count, x.count}};

	return result_of(o, &op, x.count, x.width);
}

struct ten ops_unary_beside(struct ops *o, struct ten x, enum save save, int beside)
{
	struct op op = {
	        .in = {x.v}, .give = {GIVE_NEW}, .grad = {bytes_of(x)}, .inputs = 1};
	struct ten result;

	for (int i = 0; i < beside; i++)
		op.before[i] = bytes_of(x);
	if (save == SAVE_INPUT)
		op.saves[op.save_count++] = x.v;
	result = result_of(o, &op, x.count, x.width);
	if (save == SAVE_RESULT)
		tape_save_result(o->tape, result.v);
	return result;
}

struct ten ops_unary(struct ops *o, struct ten x, enum save save)
{
	return ops_unary_beside(o, x, save, 0);
}

struct ten ops_power(struct ops *o, struct ten x)
{
	return ops_unary_beside(o, x, SAVE_INPUT, 2);
}

struct ten ops_copy(struct ops *o, struct ten x)
{
	struct op op = {.in = {x.v}, .give = {GIVE_SAME}, .inputs = 1};

	return result_of(o, &op, x.count, x.width);
}

struct ten ops_reshaped(struct ops *o, struct ten x)
{
	struct op op = {.in = {x.v}, .give = {GIVE_SAME}, .inputs = 1, .viewed = true};
	struct ten result = {tape_view(o->tape, &op, x.v), x.count, x.width};

	ops_let(o, &x);
	return result;
}

struct ten ops_relaid(struct ops *o, struct ten x)
{
	struct op op = {
	        .in = {x.v}, .give = {GIVE_NEW}, .grad = {bytes_of(x)}, .inputs = 1};
	struct ten result = {tape_view(o->tape, &op, x.v), x.count, x.width};

	ops_let(o, &x);
	return result;
}

static int wider(struct ten a, struct ten b)
{
	return a.width > b.width ? a.width : b.width;
}

struct ten ops_slice(struct ops *o, struct ten x, int64_t count)
{
	struct op op = {
	        .in = {x.v}, .give = {GIVE_NEW}, .grad = {bytes_of(x)}, .inputs = 1};

	return (struct ten){tape_view(o->tape, &op, x.v), count, x.width};
}

struct ten ops_cat(struct ops *o, struct ten a, struct ten b)
{
	int width = wider(a, b);
	struct op op = {.in = {a.v, b.v},
	                .give = {GIVE_SAME, GIVE_SAME},
	                .grad = {bytes_of(a), bytes_of(b)},
	                .inputs = 2};

	for (int i = 0; i < 2; i++)
		if ((i ? b : a).width != width) /* its gradient is cast back */
			op.give[i] = GIVE_NEW;
	return result_of(o, &op, a.count + b.count, width);
}

static enum give give_to(struct ten x, int64_t count)
{
	return x.count == count ? GIVE_SAME : GIVE_SUM;
}

struct ten ops_add(struct ops *o, struct ten a, struct ten b)
{
	int64_t count = a.count > b.count ? a.count : b.count;
	int width = wider(a, b);
	struct op op = {.in = {a.v, b.v},
	                .give = {give_to(a, count), give_to(b, count)},
	                .grad = {bytes_of(a), bytes_of(b)},
	                .wide = 0,
	                .inputs = 2};

	/* of another width it is cast back */
	for (int i = 0; i < 2; i++)
		if (op.give[i] == GIVE_SUM || (i ? b : a).width != width)
			op.give[i] = GIVE_NEW;
	return result_of(o, &op, count, width);
}

struct ten ops_added(struct ops *o, struct ten a, struct ten b)
{
	struct op op = {.in = {a.v, b.v},
	                .give = {GIVE_SAME, b.width == a.width ? GIVE_SAME : GIVE_NEW},
	                .grad = {bytes_of(a), bytes_of(b)},
	                .inputs = 2};

	return (struct ten){tape_view(o->tape, &op, a.v), a.count, a.width};
}

struct ten ops_subtract(struct ops *o, struct ten a, struct ten b)
{
	struct op op = {
	        .in = {a.v, b.v},
	        .give = {GIVE_SAME, GIVE_SUM}, /* its negative, then summed up */
	        .grad = {bytes_of(a), bytes_of(b)},
	        .wide = bytes_of(a),
	        .inputs = 2};

	return result_of(o, &op, a.count, a.width);
}

/* Does an operator's backward make a gradient as it is wanted? Else it is summed up or cast. */
static enum give whole(struct ten x, int64_t count, int width)
{
	return x.count == count && x.width == width ? GIVE_NEW : GIVE_SUM;
}

static struct ten product(struct ops *o, struct ten a, struct ten b, bool rows)
{
	int64_t count = a.count > b.count ? a.count : b.count,
	        row = a.count < b.count ? a.count : b.count;
	int width = wider(a, b);
	struct op op = {.in = {a.v, b.v},
	                .give = {whole(a, count, width), whole(b, count, width)},
	                .grad = {bytes_of(a), bytes_of(b)},
	                .wide = count * width,
	                .inputs = 2,
	                .last_first = true};

	if (rows)
		op.summing = ops_sum_buffer(o, count / row, row);
	save_operands(o, &op, a, b);
	return result_of(o, &op, count, width);
}

struct ten ops_mul(struct ops *o, struct ten a, struct ten b)
{
	return product(o, a, b, false);
}

struct ten ops_mul_rows(struct ops *o, struct ten a, struct ten b)
{
	return product(o, a, b, true);
}

struct ten ops_mean(struct ops *o, struct ten x, int64_t over)
{
	/* its gradient is expanded, a view, and then divided: mean_backward() */
	struct op op = {
	        .in = {x.v}, .give = {GIVE_NEW}, .grad = {bytes_of(x)}, .inputs = 1};

	return result_of(o, &op, x.count / over, x.width);
}

struct ten ops_dropout(struct ops *o, struct ten x, bool active)
{
	struct ten mask, result;
	struct op op = {
	        .in = {x.v}, .give = {GIVE_NEW}, .grad = {bytes_of(x)}, .inputs = 1};

	if (!active)
		return ops_hold(o, x);
	mask = ops_make(o, x.count, 1);
	result = ops_make(o, x.count, x.width);
	op.saves[op.save_count++] = mask.v;
	tape_record(o->tape, &op, result.v);
	ops_let(o, &mask);
	return result;
}

struct ten ops_softmax(struct ops *o, struct ten x, int width)
{
	struct ten input = o->fp16 ? ops_hold(o, x) : ops_to(o, x, width), result;
	struct op op = {.in = {input.v},
	                .give = {GIVE_NEW},
	                .grad = {bytes_of(input)},
	                .inputs = 1,
	                .before = {x.count * width}};

	result = result_of(o, &op, x.count, width);
	tape_save_result(o->tape, result.v);
	ops_let(o, &input);
	return result;
}

struct ten ops_layer_norm(struct ops *o, struct ten x, struct ten weight,
                          struct ten bias, int64_t over)
{
	struct ten input = o->half ? ops_to(o, x, 4) : ops_hold(o, x);
	struct ten result = ops_make(o, input.count, input.width);
	struct ten mean = ops_make(o, x.count / over, 4);
	struct ten rstd = ops_make(o, x.count / over, 4);
	struct op op = {.in = {input.v, weight.v, bias.v},
	                .give = {GIVE_NEW, GIVE_NEW, GIVE_NEW},
	                .grad = {bytes_of(input), bytes_of(weight), bytes_of(bias)},
	                .saves = {input.v, mean.v, rstd.v},
	                .inputs = bias.v == NO_TENSOR ? 2 : 3,
	                .save_count = 3};

	tape_record(o->tape, &op, result.v);
	ops_let(o, &input);
	ops_let(o, &mean);
	ops_let(o, &rstd);
	return result;
}

struct ten ops_bmm(struct ops *o, struct ten a, struct ten b, int64_t result)
{
	struct op op = {.in = {a.v, b.v},
	                .give = {GIVE_NEW, GIVE_NEW},
	                .grad = {bytes_of(a), bytes_of(b)},
	                .inputs = 2,
	                .last_first = true,
	                .library = LIBRARY_CUBLAS};

	save_operands(o, &op, a, b);
	return result_of(o, &op, result, a.width);
}

struct ten ops_embedding(struct ops *o, struct ten weight, struct ten ids, int64_t over)
{
	struct op op = {.in = {weight.v},
	                .give = {GIVE_NEW},
	                .grad = {bytes_of(weight)},
	                .saves = {ids.v},
	                .inputs = 1,
	                .save_count = 1};

	ops_sort_buffers(o, &op, ids.count, weight.count / over, over, weight.width);
	return result_of(o, &op, ids.count * over, weight.width);
}

struct ten ops_cross_entropy(struct ops *o, struct ten logits, struct ten labels)
{
	struct op soft = {.in = {logits.v},
	                  .give = {GIVE_NEW},
	                  .grad = {bytes_of(logits)},
	                  .inputs = 1};
	struct ten log = result_of(o, &soft, logits.count, logits.width), wide, loss;
	struct op nll = {.inputs = 1, .give = {GIVE_NEW}, .save_count = 2};

	tape_save_result(o->tape, log.v);
	wide = o->half ? ops_to(o, log, 4) : ops_hold(o, log);
	ops_let(o, &log);
	nll.in[0] = nll.saves[0] = wide.v;
	nll.grad[0] = bytes_of(wide);
	nll.saves[1] = labels.v;
	loss = result_of(o, &nll, 1, 4);
	ops_let(o, &wide);
	return loss;
}

struct ten ops_branch(struct ops *o, bool drops, struct ten x, struct ten branch)
{
	struct ten kept = ops_dropout(o, branch, drops), sum;

	ops_let(o, &branch);
	sum = ops_add(o, x, kept);
	ops_let(o, &kept);
	return sum;
}

static void copy_operands(struct ops *o, struct ten operands[2], bool first,
                          bool second)
{
	const bool copied[2] = {first, second};

	for (int i = 0; i < 2; i++) {
		struct ten narrow = operands[i];
		if (!copied[i])
			continue;
		operands[i] = ops_copy(o, narrow);
		ops_let(o, &narrow);
	}
}

void ops_lay_out(struct ops *o, struct ten operands[2], bool first, bool second)
{
	for (int i = 1; i >= 0; i--)
		operands[i] = o->half ? ops_to(o, operands[i], o->half)
		                      : ops_hold(o, operands[i]);
	copy_operands(o, operands, first, second);
}

void ops_lay_out_wide(struct ops *o, struct ten operands[2], bool first, bool second)
{
	for (int i = 0; i < 2; i++)
		ops_hold(o, operands[i]);
	copy_operands(o, operands, first, second);
}
