/* windows.c - Swin's attention among the places of a window, and how it makes a picture smaller.
 * Source: models/swin/modeling_swin.py, transformers 5.23; pad_bias() in
 * aten/src/ATen/native/transformers/attention.cpp and _efficient_attention_backward() of
 * PyTorch 2.11.
 * Called from: stages.c. */
#include "transformer.h"

static int64_t bytes_of(struct ten x)
{
	return x.count * x.width;
}

/* A copy with another number of elements, or in another order: its gradient is one too. */
static struct ten laid(struct ops *o, struct ten x, int64_t count)
{
	struct op op = {
	        .in = {x.v}, .give = {GIVE_NEW}, .grad = {bytes_of(x)}, .inputs = 1};

	return (struct ten){tape_result(o->tape, &op, count * x.width), count, x.width};
}

/* The same, and x is let go of. */
static struct ten laid_from(struct ops *o, struct ten x, int64_t count)
{
	struct ten result = laid(o, x, count);

	ops_let(o, &x);
	return result;
}

/* torch.roll() by both sides of the picture: one node, a side at a time. */
static struct ten rolled(struct ops *o, struct ten x)
{
	struct ten once = ops_make(o, x.count, x.width), result;
	struct op op = {.in = {x.v},
	                .give = {GIVE_NEW},
	                .grad = {bytes_of(x)},
	                .inputs = 1,
	                .before = {bytes_of(x)}};

	result = (struct ten){tape_result(o->tape, &op, bytes_of(x)), x.count, x.width};
	ops_let(o, &once);
	return result;
}

/* What a place of a window that was rolled must not see: a number for each two places, in each
 * window of a picture. */
static struct ten mask_of(struct transformer *m, const struct unit *unit, int width)
{
	struct ops *o = &m->ops;
	int64_t count = unit->padded * unit->window;
	struct ten small[4], region = ops_make(o, unit->padded, width),
	                     windows = ops_make(o, unit->padded, width), less, which,
	                     filled, result;

	for (int i = 0; i < 4; i++)
		small[i] = ops_make(o, 1, 8);
	less = ops_make(o, count, width);
	which = ops_make(o, count, 1);
	filled = ops_make(o, count, width);
	ops_let(o, &which);
	which = ops_make(o, count, 1);
	result = ops_make(o, count, width);
	ops_let(o, &filled);
	ops_let(o, &which);
	ops_let(o, &less);
	for (int i = 0; i < 4; i++)
		ops_let(o, &small[i]);
	ops_let(o, &region);
	ops_let(o, &windows);
	return result;
}

/* The table's rows for each two places of a window, head by head. */
static struct ten bias_of(struct transformer *m, const struct windows *w)
{
	enum { NUMBER = 8 };
	struct ops *o = &m->ops;
	int64_t pairs = w->unit->window * w->unit->window,
	        count = pairs * w->unit->heads;
	struct op op = {.in = {w->table.v},
	                .give = {GIVE_NEW},
	                .grad = {bytes_of(w->table)},
	                .inputs = 1,
	                .before = {NUMBER * pairs, count * w->table.width},
	                .after = {NUMBER * pairs, NUMBER * pairs}};
	struct ten rows = {tape_result(o->tape, &op, count * w->table.width), count,
	                   w->table.width},
	           result = ops_copy(o, rows);

	ops_let(o, &rows);
	return result;
}

/* The bias plus the mask, which is repeated for each sample meanwhile and wants no gradient: for
 * each window of each sample. `repeated` is held. */
static struct ten with_mask(struct transformer *m, const struct windows *w,
                            struct ten bias, struct ten mask, struct ten *repeated)
{
	struct ops *o = &m->ops;
	int64_t count = m->batch * mask.count * w->unit->heads;
	int width = bias.width > mask.width ? bias.width : mask.width;
	struct op op = {.in = {bias.v},
	                .give = {GIVE_NEW},
	                .grad = {bytes_of(bias)},
	                .inputs = 1};

	*repeated = ops_make(o, m->batch * mask.count, mask.width);
	return (struct ten){tape_result(o->tape, &op, count * width), count, width};
}

/* What is added to the scores, as the kernel takes it: in rows of a multiple of 8 numbers, of which
 * its own are seen, once for each window of each sample. Its rows: of all heads. */
static struct ten taken_bias(struct transformer *m, const struct unit *unit,
                             struct ten bias, int width, int64_t rows)
{
	struct ops *o = &m->ops;
	int64_t own = bias.count / unit->window;
	struct ten narrow = ops_to(o, bias, width),
	           padded = laid(o, narrow, own * ((unit->window + 7) / 8 * 8)),
	           cut = unit->window % 8 ? ops_slice(o, padded, bias.count)
	                                  : ops_hold(o, narrow),
	           whole;
	struct op op = {.in = {cut.v},
	                .give = {GIVE_NEW},
	                .grad = {bias.count * width},
	                .inputs = 1};

	whole = own == rows ? ops_hold(o, cut)
	                    : (struct ten){tape_view(o->tape, &op, cut.v),
	                                   rows * unit->window, width};
	ops_let(o, &cut);
	ops_let(o, &padded);
	ops_let(o, &narrow);
	return whole;
}

/* The memory-efficient kernel with a bias, whose gradient has rows of a multiple of 16 numbers. */
static struct ten kernel(struct transformer *m, const struct unit *unit,
                         struct ten in[3], struct ten bias)
{
	struct ops *o = &m->ops;
	int width = o->half ? o->half : in[0].width;
	int64_t heads = m->batch * (unit->padded / unit->window) * unit->heads,
	        rows = heads * unit->window;
	const int64_t wide = unit->in / unit->heads;
	const struct attending by = {heads, unit->window, wide, wide};
	struct ten whole = taken_bias(m, unit, bias, width, rows), take[3], result,
	           sums;
	struct op op = {.inputs = 4, .save_count = 6};

	for (int i = 2; i >= 0; i--) {
		take[i] = ops_to(o, in[i], width);
		op.in[i] = op.saves[i] = take[i].v;
		op.give[i] = GIVE_NEW;
		op.grad[i] = bytes_of(take[i]);
	}
	op.in[3] = op.saves[3] = whole.v;
	op.give[3] = GIVE_NEW;
	op.grad[3] = rows * ((unit->window + 15) / 16 * 16) * width;
	kernel_efficient_backward(o, &op, &by, width);
	result = ops_make(o, take[0].count, width);
	sums = ops_make(o, heads * ((unit->window + 31) / 32 * 32), 4);
	op.saves[4] = result.v;
	op.saves[5] = sums.v;
	tape_record(o->tape, &op, result.v);
	ops_let(o, &sums);
	for (int i = 0; i < 3; i++)
		ops_let(o, &take[i]);
	ops_let(o, &whole);
	return result;
}

/* Operator by operator, as a transformer does it whose samples are windows. */
static struct ten written(struct transformer *m, const struct windows *w,
                          struct ten in[3], struct ten bias, struct ten *weights)
{
	struct shape shape = *m->shape;
	struct transformer local = *m;

	shape.heads = shape.kv_heads = w->unit->heads;
	shape.head_dim = w->unit->in / w->unit->heads;
	local.shape = &shape;
	local.batch = m->batch * (w->unit->padded / w->unit->window);
	local.seq = local.keys = w->unit->window;
	local.bias = bias;
	local.mask = none;
	return transformer_attended(&local, w->weights, in[0], in[1], in[2], weights);
}

/* The attention of all windows. */
static struct ten attention(struct transformer *m, const struct windows *w,
                            struct ten x, struct ten mask)
{
	struct ops *o = &m->ops;
	const struct layer_weights *by = w->weights;
	int64_t width = w->unit->in;
	struct ten in[3], bias, repeated = none, added, weights = none, result, out;

	in[0] = ops_linear(o, x, by->q, by->q_bias, width, width);
	in[1] = ops_linear(o, x, by->k, by->k_bias, width, width);
	in[2] = ops_linear(o, x, by->v, by->v_bias, width, width);
	bias = bias_of(m, w);
	added = mask.v != NO_TENSOR ? with_mask(m, w, bias, mask, &repeated)
	                            : ops_hold(o, bias);
	result = m->training->attention == ATTENTION_FLASH
	                 ? kernel(m, w->unit, in, added)
	                 : written(m, w, in, added, &weights);
	out = ops_linear(o, result, by->o, by->o_bias, width, width);
	ops_let(o, &result);
	ops_let(o, &weights);
	ops_let(o, &repeated);
	ops_let(o, &bias);
	ops_let(o, &added);
	for (int i = 0; i < 3; i++)
		ops_let(o, &in[i]);
	return out;
}

/* Without the places that fill up windows. */
static struct ten cropped(struct transformer *m, const struct unit *unit, struct ten x)
{
	struct ops *o = &m->ops;
	int64_t row = m->batch * unit->in;
	struct ten rows = unit->own_rows < unit->padded
	                          ? ops_slice(o, x, row * unit->own_rows)
	                          : ops_hold(o, x),
	           own = unit->read < unit->own_rows
	                         ? ops_slice(o, rows, row * unit->read)
	                         : ops_hold(o, rows),
	           result = ops_copy(o, own);

	ops_let(o, &own);
	ops_let(o, &rows);
	ops_let(o, &x);
	return result;
}

struct ten windows_attended(struct transformer *m, struct windows *w, struct ten *x)
{
	const struct unit *unit = w->unit;
	struct ops *o = &m->ops;
	int width = x->width;
	int64_t count = m->batch * unit->in * unit->padded;
	struct ten padded = laid_from(o, *x, count), moved, windows, mask = none, out,
	           back;

	*x = none;
	moved = unit->shifted ? rolled(o, padded) : ops_hold(o, padded);
	windows = laid_from(o, moved, count);
	if (unit->shifted)
		mask = mask_of(m, unit, width);
	back = attention(m, w, windows, mask);
	out = ops_dropout(o, back, transformer_drops(m));
	ops_let(o, &back);
	back = laid(o, out, count);
	if (unit->shifted) {
		moved = rolled(o, back);
		ops_let(o, &back);
		back = moved;
	}
	if (unit->read < unit->padded)
		back = cropped(m, unit, back);
	w->until_sum = padded;
	w->to_end[0] = mask;
	w->to_end[1] = out;
	w->to_end[2] = windows;
	w->to_end[3] = ops_hold(o, back);
	return back;
}

struct ten windows_merged(struct transformer *m, const struct unit *unit, struct ten x)
{
	struct ops *o = &m->ops;
	int64_t count = m->batch * unit->in * unit->padded;
	struct ten whole = ops_reshaped(o, ops_hold(o, x)), parts[4], result;
	struct op op = {.inputs = 4};

	if (unit->padded > unit->read)
		whole = laid_from(o, whole, count);
	for (int i = 0; i < 4; i++) {
		struct ten rows = ops_slice(o, whole, count / 2);
		parts[i] = ops_slice(o, rows, count / 4);
		ops_let(o, &rows);
		op.in[i] = parts[i].v;
		op.give[i] = GIVE_SAME;
	}
	result = (struct ten){tape_result(o->tape, &op, count * x.width), count,
	                      x.width};
	for (int i = 0; i < 4; i++)
		ops_let(o, &parts[i]);
	ops_let(o, &whole);
	return result;
}
