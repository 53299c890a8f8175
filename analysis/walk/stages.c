/* stages.c - an image model of stages as Hugging Face's transformers 5 runs it: its list of modules,
 * one after the other.
 * Source: models/NAME/modeling_NAME.py of resnet, convnext and swin, transformers 5.23.
 * Called from: walk.c. */
#include "stages.h"

#include <stdlib.h>

#include "convolutions.h"
#include "heap.h"
#include "transformer.h"

/* The weights of a unit, in the order in which it has them. */
struct staged_unit {
	struct unit unit;
	struct ten weight, bias;     /* of windows: the table of positions, and none */
	struct layer_weights *layer; /* of windows: the four matmuls; else NULL */
};

struct staged {
	struct staged_unit *list;
	size_t count;
};

/* ---- weights ----------------------------------------------------------------------------- */

static void batch_norm_buffers(struct transformer *m, int64_t channels)
{
	tape_make(m->ops.tape, channels * m->wide, TAPE_PARAMETER); /* running mean */
	tape_make(m->ops.tape, channels * m->wide, TAPE_PARAMETER); /* ... variance */
	tape_make(m->ops.tape, 8, TAPE_PARAMETER); /* how many batches there were */
}

static struct ten matrix_of(struct transformer *m, int64_t width)
{
	return transformer_weight(m, width, width, 0);
}

static void make_windows(struct transformer *m, struct staged_unit *u)
{
	int64_t width = u->unit.in, side = 2 * u->unit.kernel - 1,
	        two = u->unit.kernel * u->unit.kernel;
	struct layer_weights *w = allocate(sizeof(*w));

	u->layer = w;
	w->q = matrix_of(m, width);
	w->q_bias = u->unit.bias ? transformer_weight(m, width, 1, 0) : none;
	w->k = matrix_of(m, width);
	w->k_bias = u->unit.bias ? transformer_weight(m, width, 1, 0) : none;
	w->v = matrix_of(m, width);
	w->v_bias = u->unit.bias ? transformer_weight(m, width, 1, 0) : none;
	w->o = matrix_of(m, width);
	w->o_bias = transformer_weight(m, width, 1, 0);
	u->weight = transformer_weight(m, side * side, u->unit.heads, 0);
	tape_make(m->ops.tape, two * two * 8, TAPE_PARAMETER); /* rows of the table */
}

static void make_unit(struct transformer *m, struct staged_unit *u)
{
	const struct unit *unit = &u->unit;

	u->weight = u->bias = none;
	switch (unit->kind) {
	case UNIT_CONVOLUTION:
		u->weight = transformer_weight(m, unit->kernel, unit->kernel,
		                               unit->in / unit->groups * unit->out);
		if (unit->turned)
			tape_copy_gradient(m->ops.tape, u->weight.v);
		if (unit->bias)
			u->bias = transformer_weight(m, unit->out, 1, 0);
		break;
	case UNIT_BATCH_NORM:
		batch_norm_buffers(m, unit->in);
		/* fall through */
	case UNIT_LAYER_NORM:
		u->weight = transformer_weight(m, unit->in, 1, 0);
		u->bias = transformer_weight(m, unit->in, 1, 0);
		break;
	case UNIT_LINEAR:
		u->weight = transformer_weight(m, unit->out, unit->in, 0);
		if (unit->bias)
			u->bias = transformer_weight(m, unit->out, 1, 0);
		break;
	case UNIT_SCALE:
		u->weight = transformer_weight(m, unit->in, 1, 0);
		break;
	case UNIT_POSITIONS:
		u->weight = transformer_weight(m, unit->read, unit->in, 0);
		break;
	case UNIT_WINDOWS:
		make_windows(m, u);
		break;
	default:
		break;
	}
}

bool stages_make(struct transformer *m)
{
	const struct shape *s = m->shape;
	struct staged *staged = allocate(sizeof(*staged));
	struct units units;

	units_of(s, &units);
	staged->count = units.count;
	staged->list = allocate((units.count + 1) * sizeof(*staged->list));
	for (size_t i = 0; i < units.count; i++) {
		staged->list[i].unit = units.list[i];
		make_unit(m, &staged->list[i]);
	}
	free(units.list);
	m->staged = staged;
	m->mask = m->other_mask = none;
	m->head = transformer_weight(m, s->classes, s->hidden, 0);
	m->head_bias = transformer_weight(m, s->classes, 1, 0);
	for (size_t i = 0; i < staged->count; i++) {
		const struct unit *unit = &staged->list[i].unit;
		/* its table of positions is made for whole windows alone */
		if (unit->kind == UNIT_WINDOWS &&
		    unit->window < unit->kernel * unit->kernel)
			return false;
	}
	return true;
}

void stages_free(struct transformer *m)
{
	if (!m->staged)
		return;
	for (size_t i = 0; i < m->staged->count; i++)
		free(m->staged->list[i].layer);
	free(m->staged->list);
	free(m->staged);
}

/* ---- the forward ------------------------------------------------------------------------- */

/* What runs: the stream; a branch that waits, while what was kept has a shortcut of its own; what a
 * layer kept of its input. And variables of the model's: what the first layer read, until all have
 * run, and what the last one gave, until there is a loss. */
struct running {
	struct ten x, waits, kept, begun, last;
	/* Swin's: what a layer names until its sum, and to its end; what a stage read of its last layer,
	 * and the copy that it made. */
	struct ten named, until_sum, to_end[4], before, copy;
};

static struct ten convolved(struct transformer *m, const struct staged_unit *u,
                            struct ten x)
{
	struct convolution by = {.weight = u->weight,
	                         .bias = u->bias,
	                         .count = m->batch * u->unit.out * u->unit.places,
	                         .channels = u->unit.out,
	                         .turned = u->unit.turned,
	                         .relaid = u->unit.relaid};

	return ops_convolution(&m->ops, x, &by);
}

static struct ten matmul(struct transformer *m, const struct staged_unit *u,
                         struct ten x)
{
	struct ten result =
	        ops_linear(&m->ops, x, u->weight, u->bias, u->unit.in, u->unit.out);

	return u->unit.relaid ? ops_relaid(&m->ops, result) : result;
}

/* DropPath: of some samples the branch is left out, and what is left is scaled. */
static struct ten left_out(struct transformer *m, struct ten branch)
{
	struct ops *o = &m->ops;
	struct ten random[3], scaled, result;

	for (int i = 0; i < 3; i++) /* drawn, plus a number, its floor */
		random[i] = ops_make(o, m->batch, branch.width);
	ops_let(o, &random[1]);
	ops_let(o, &random[0]);
	scaled = ops_unary(o, branch, SAVE_NONE);
	result = ops_mul(o, scaled, random[2]);
	ops_let(o, &random[2]);
	ops_let(o, &scaled);
	return result;
}

/* The branch and what was kept. ResNet adds in place. */
static struct ten added(struct transformer *m, const struct unit *unit,
                        struct running *r)
{
	struct ops *o = &m->ops;
	struct ten branch, sum;

	if (r->waits.v != NO_TENSOR) { /* what was kept has been read */
		branch = r->waits;
		r->waits = none;
		ops_let(o, &r->kept);
		r->kept = ops_hold(o, r->x);
		return ops_add_to(o, branch, r->kept);
	}
	if (m->shape->family == FAMILY_RESNET)
		return ops_add_to(o, ops_hold(o, r->x), r->kept);
	branch = unit->drops ? left_out(m, r->x) : ops_hold(o, r->x);
	sum = ops_add(o, r->kept, branch);
	ops_let(o, &branch);
	ops_let(o, &r->until_sum);
	return sum;
}

static struct ten normed(struct transformer *m, const struct staged_unit *u,
                         struct running *r)
{
	struct picture_norm by = {.weight = u->weight,
	                          .bias = u->bias,
	                          .channels = u->unit.in,
	                          .turned = u->unit.turned,
	                          .copied = u->unit.copied,
	                          .apart = u->unit.apart};
	struct ten result = ops_picture_norm(&m->ops, r->x, &by);

	if (u->unit.named)
		r->named = ops_hold(&m->ops, result);
	return result;
}

/* Of what a branch gave, which is named until the sum. */
static struct ten dropped(struct transformer *m, struct running *r)
{
	ops_let(&m->ops, &r->named);
	if (r->kept.v != NO_TENSOR)
		r->until_sum = ops_hold(&m->ops, r->x);
	return ops_dropout(&m->ops, r->x, transformer_drops(m));
}

static struct ten in_windows(struct transformer *m, const struct staged_unit *u,
                             struct running *r)
{
	struct windows windows = {
	        .unit = &u->unit, .weights = u->layer, .table = u->weight};
	struct ten result = windows_attended(m, &windows, &r->x);

	r->until_sum = windows.until_sum;
	for (int i = 0; i < 4; i++)
		r->to_end[i] = windows.to_end[i];
	return result;
}

/* A layer returns. */
static struct ten ended(struct transformer *m, struct running *r)
{
	ops_let(&m->ops, &r->kept);
	for (int i = 0; i < 4; i++)
		ops_let(&m->ops, &r->to_end[i]);
	return ops_hold(&m->ops, r->x);
}

/* A stage returns, with a copy of what it gave. */
static struct ten stage_ended(struct transformer *m, struct running *r)
{
	struct ten copy = ops_make(&m->ops, r->x.count, r->x.width);

	ops_let(&m->ops, &r->before);
	ops_let(&m->ops, &r->copy);
	r->copy = copy;
	return ops_hold(&m->ops, r->x);
}

static struct ten begun(struct transformer *m, struct running *r)
{
	ops_let(&m->ops, &r->kept);
	r->kept = ops_hold(&m->ops, r->x);
	if (r->begun.v == NO_TENSOR)
		r->begun = ops_hold(&m->ops, r->x);
	return ops_hold(&m->ops, r->x);
}

static struct ten run_unit(struct transformer *m, const struct staged_unit *u,
                           struct running *r)
{
	const struct unit *unit = &u->unit;
	struct ops *o = &m->ops;

	switch (unit->kind) {
	case UNIT_CONVOLUTION:
		return convolved(m, u, r->x);
	case UNIT_BATCH_NORM:
		return ops_batch_norm(o, r->x, u->weight, u->bias, unit->in);
	case UNIT_LAYER_NORM:
		return normed(m, u, r);
	case UNIT_LINEAR:
		return matmul(m, u, r->x);
	case UNIT_RELU:
		return ops_unary(o, r->x, SAVE_RESULT);
	case UNIT_GELU:
		return ops_unary(o, r->x, SAVE_INPUT);
	case UNIT_SCALE:
		return unit->apart ? ops_mul(o, u->weight, r->x)
		                   : ops_mul_rows(o, u->weight, r->x);
	case UNIT_MAX_POOL:
		return ops_max_pool(o, r->x, m->batch * unit->out * unit->places);
	case UNIT_MEAN:
		ops_let(o, &r->copy);
		r->last = ops_hold(o, r->x);
		return ops_mean(o, r->x, unit->read);
	case UNIT_BEGIN:
		return begun(m, r);
	case UNIT_SHORTCUT:
		r->waits = ops_hold(o, r->x);
		return ops_hold(o, r->kept);
	case UNIT_ADD:
		return added(m, unit, r);
	case UNIT_END:
		return ended(m, r);
	case UNIT_OUTPUT:
		return stage_ended(m, r);
	case UNIT_POSITIONS:
		return ops_add(o, r->x, u->weight);
	case UNIT_DROPOUT:
		return dropped(m, r);
	case UNIT_WINDOWS:
		return in_windows(m, u, r);
	case UNIT_MERGE:
		r->before = ops_hold(o, r->x);
		return windows_merged(m, unit, r->x);
	}
	return ops_hold(o, r->x);
}

tensor_id stages_forward(struct transformer *m)
{
	struct ops *o = &m->ops;
	struct running r = {.x = ops_hold(o, m->pixels),
	                    .waits = none,
	                    .kept = none,
	                    .begun = none,
	                    .last = none,
	                    .named = none,
	                    .until_sum = none,
	                    .to_end = {none, none, none, none},
	                    .before = none,
	                    .copy = none};
	struct ten loss;

	for (size_t i = 0; i < m->staged->count; i++) {
		struct ten next = run_unit(m, &m->staged->list[i], &r);
		ops_let(o, &r.x);
		r.x = next;
	}
	ops_let(o, &r.begun);
	m->output = ops_linear(o, r.x, m->head, m->head_bias, m->shape->hidden,
	                       m->shape->classes);
	loss = ops_cross_entropy(o, m->output, m->ids);
	ops_let(o, &r.x);
	ops_let(o, &r.last);
	tape_autocast_ends(o->tape);
	return loss.v;
}
