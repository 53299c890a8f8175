/* convolutions.c - PyTorch's operators on pictures, on a tape.
 * Source: tools/autograd/derivatives.yaml; Convolution.cpp, Normalization.cpp and
 * cuda/DilatedMaxPool2d.cu in aten/src/ATen/native, PyTorch 2.11.
 * Called from: stages.c. */
#include "convolutions.h"

static int64_t bytes_of(struct ten x)
{
	return x.count * x.width;
}

struct ten ops_convolution(struct ops *o, struct ten x, const struct convolution *by)
{
	/* autocast's wrapper casts its last argument first */
	struct ten b = ops_cast_weight(o, by->bias), w = ops_cast_weight(o, by->weight),
	           in = ops_to(o, x, w.width), result, laid;
	struct op op = {.in = {in.v, w.v, b.v},
	                .give = {GIVE_NEW, GIVE_NEW, GIVE_ROWS},
	                .grad = {bytes_of(in), bytes_of(w), bytes_of(b)},
	                .saves = {in.v, w.v},
	                .inputs = by->bias.v == NO_TENSOR ? 2 : 3,
	                .save_count = 2};

	if (by->relaid)
		op.before[0] = by->count * w.width;
	if (by->turned)
		op.passing = bytes_of(w);
	/* a sum down the places, which lie one behind the other */
	if (!by->relaid || !by->turned)
		op.summing = ops_sum_buffer(o, by->count / by->channels, by->channels);
	result = (struct ten){tape_result(o->tape, &op, by->count * w.width), by->count,
	                      w.width};
	if (by->turned) {
		laid = ops_make(o, w.count, w.width);
		ops_let(o, &laid);
	}
	ops_let(o, &in);
	ops_let(o, &w);
	ops_let(o, &b);
	return result;
}

struct ten ops_picture_norm(struct ops *o, struct ten x, const struct picture_norm *by)
{
	struct ten input = o->half ? ops_to(o, x, 4) : ops_hold(o, x),
	           laid = by->copied ? ops_make(o, input.count, input.width) : none,
	           result = ops_make(o, input.count, input.width),
	           mean = ops_make(o, x.count / by->channels, 4),
	           scale = ops_make(o, x.count / by->channels, 4);
	struct op op = {
	        .in = {input.v, by->weight.v, by->bias.v},
	        .give = {GIVE_NEW, GIVE_NEW, GIVE_NEW},
	        .grad = {bytes_of(input), bytes_of(by->weight), bytes_of(by->bias)},
	        .saves = {input.v, mean.v, scale.v},
	        .inputs = 3,
	        .save_count = 3,
	        .before = {by->copied ? bytes_of(input) : 0},
	        .passing = by->apart ? bytes_of(input) : 0,
	        .viewed = by->turned};

	tape_record(o->tape, &op, result.v);
	ops_let(o, &laid);
	ops_let(o, &input);
	ops_let(o, &mean);
	ops_let(o, &scale);
	return result;
}

struct ten ops_batch_norm(struct ops *o, struct ten x, struct ten weight,
                          struct ten bias, int64_t channels)
{
	struct ten result = ops_make(o, x.count, x.width),
	           mean = ops_make(o, channels, 4), scale = ops_make(o, channels, 4);
	struct op op = {.in = {x.v, weight.v, bias.v},
	                .give = {GIVE_NEW, GIVE_NEW, GIVE_NEW},
	                .grad = {bytes_of(x), bytes_of(weight), bytes_of(bias)},
	                .saves = {x.v, mean.v, scale.v},
	                .inputs = 3,
	                .save_count = 3};

	tape_record(o->tape, &op, result.v);
	ops_let(o, &mean);
	ops_let(o, &scale);
	return result;
}

struct ten ops_max_pool(struct ops *o, struct ten x, int64_t count)
{
	struct ten result = ops_make(o, count, x.width), where = ops_make(o, count, 8);
	struct op op = {.in = {x.v},
	                .give = {GIVE_NEW},
	                .grad = {bytes_of(x)},
	                .saves = {x.v, where.v},
	                .inputs = 1,
	                .save_count = 2};

	tape_record(o->tape, &op, result.v);
	ops_let(o, &where);
	return result;
}

struct ten ops_add_to(struct ops *o, struct ten a, struct ten b)
{
	struct op op = {.in = {a.v, b.v}, .give = {GIVE_SAME, GIVE_SAME}, .inputs = 2};
	struct ten result = {tape_view(o->tape, &op, a.v), a.count, a.width};

	ops_let(o, &a);
	return result;
}
