/* stages.c - the modules of an image model of stages, as a list; see stages.h.
 * Called from: model.c, staged.c, walk/stages.c. */
#include "stages.h"

#include "heap.h"

/* A picture on its way through the model. */
struct picture {
	int64_t high, wide, channels;
};

static int64_t places_of(const struct picture *p)
{
	return p->high * p->wide;
}

static struct unit *put(struct units *units, enum unit_kind kind,
                        const struct picture *p)
{
	units->list =
	        grow(units->list, units->count, &units->room, sizeof(*units->list));
	units->list[units->count] = (struct unit){.kind = kind,
	                                          .in = p->channels,
	                                          .out = p->channels,
	                                          .read = places_of(p),
	                                          .places = places_of(p)};
	return &units->list[units->count++];
}

static struct unit *linear(struct units *units, struct picture *p, int64_t out)
{
	struct unit *unit = put(units, UNIT_LINEAR, p);

	unit->out = p->channels = out;
	unit->bias = true;
	return unit;
}

/* padding: at each side. */
static struct unit *convolution(struct units *units, struct picture *p, int64_t out,
                                int64_t kernel, int64_t stride, int64_t padding)
{
	struct unit *unit = put(units, UNIT_CONVOLUTION, p);

	p->high = (p->high + 2 * padding - kernel) / stride + 1;
	p->wide = (p->wide + 2 * padding - kernel) / stride + 1;
	p->channels = out;
	unit->out = out;
	unit->places = places_of(p);
	unit->kernel = kernel;
	unit->groups = 1;
	return unit;
}

/* ---- ResNet ------------------------------------------------------------------------------ */

static void normed(struct units *units, struct picture *p, int64_t out, int64_t kernel,
                   int64_t stride, bool active)
{
	convolution(units, p, out, kernel, stride, kernel / 2)->again = true;
	put(units, UNIT_BATCH_NORM, p);
	if (active)
		put(units, UNIT_RELU, p);
}

static void resnet_layer(const struct stages *s, struct units *units, struct picture *p,
                         int64_t out, int64_t stride)
{
	struct picture kept = *p;
	bool same = p->channels == out && stride == 1;

	put(units, UNIT_BEGIN, p);
	if (s->bottleneck) {
		normed(units, p, out / 4, 1, s->narrow_early ? stride : 1, true);
		normed(units, p, out / 4, 3, s->narrow_early ? 1 : stride, true);
		normed(units, p, out, 1, 1, false);
	} else {
		normed(units, p, out, 3, stride, true);
		normed(units, p, out, 3, 1, false);
	}
	if (!same) {
		put(units, UNIT_SHORTCUT, &kept);
		normed(units, &kept, out, 1, stride, false);
	}
	put(units, UNIT_ADD, p);
	put(units, UNIT_RELU, p);
	put(units, UNIT_END, p);
}

static void resnet(const struct stages *s, struct units *units, struct picture *p)
{
	normed(units, p, s->first, 7, 2, true);
	units->list[0].again = false;
	struct unit *pool = put(units, UNIT_MAX_POOL, p);
	p->high = (p->high - 1) / 2 + 1;
	p->wide = (p->wide - 1) / 2 + 1;
	pool->places = places_of(p);
	for (int i = 0; i < s->count; i++)
		for (int64_t k = 0; k < s->depth[i]; k++)
			resnet_layer(s, units, p, s->width[i],
			             !k && (i || s->halved_first) ? 2 : 1);
}

/* ---- ConvNeXt ---------------------------------------------------------------------------- */

/* last: of the last stage, to which the mean gives a gradient that lies channel by channel. */
static void convnext_layer(const struct stages *s, struct units *units,
                           struct picture *p, bool last, bool left_out)
{
	int64_t width = p->channels;
	struct unit *unit;

	put(units, UNIT_BEGIN, p);
	unit = convolution(units, p, width, 7, 1, 3);
	unit->groups = width;
	unit->bias = true;
	put(units, UNIT_LAYER_NORM, p);
	linear(units, p, (int64_t)(s->ffn * (double)width));
	put(units, UNIT_GELU, p);
	linear(units, p, width)->relaid = last;
	if (s->scaled)
		put(units, UNIT_SCALE, p)->apart = last;
	put(units, UNIT_ADD, p)->drops = left_out;
	put(units, UNIT_END, p);
}

/* A norm of channels, and the convolution to the channels of a stage. */
static void convnext_between(const struct stages *s, struct units *units,
                             struct picture *p, int stage)
{
	struct unit *unit;

	put(units, UNIT_LAYER_NORM, p)->turned = true;
	unit = convolution(units, p, s->width[stage], 2, 2, 0);
	unit->bias = unit->turned = true;
	unit->relaid = stage + 1 == s->count;
}

static void convnext(const struct stages *s, struct units *units, struct picture *p)
{
	struct unit *unit = convolution(units, p, s->width[0], s->patch, s->patch, 0);
	bool any = false;

	unit->bias = unit->relaid = true;
	unit = put(units, UNIT_LAYER_NORM, p);
	unit->turned = unit->copied = true;
	for (int i = 0; i < s->count; i++) {
		if (i)
			convnext_between(s, units, p, i);
		for (int64_t k = 0; k < s->depth[i]; k++) {
			/* the share of branches that are left out grows from none in the first */
			convnext_layer(s, units, p, i + 1 == s->count,
			               s->left_out && any);
			any = true;
		}
	}
}

/* ---- Swin -------------------------------------------------------------------------------- */

static int64_t up(int64_t value, int64_t to)
{
	return (value + to - 1) / to * to;
}

static void swin_layer(const struct shape *shape, struct units *units,
                       struct picture *p, int stage, bool shifted, bool left_out)
{
	const struct stages *s = &shape->stages;
	int64_t least = p->high < p->wide ? p->high : p->wide, width = p->channels;
	struct unit *unit;

	put(units, UNIT_BEGIN, p);
	put(units, UNIT_LAYER_NORM, p);
	unit = put(units, UNIT_WINDOWS, p);
	unit->kernel = s->window; /* whose table is made for the whole window */
	unit->window = least <= s->window ? least : s->window;
	unit->shifted = shifted && least > s->window && s->window > 1;
	unit->own_rows = p->high * up(p->wide, unit->window);
	unit->padded = up(p->high, unit->window) * up(p->wide, unit->window);
	unit->window *= unit->window;
	unit->heads = s->heads[stage];
	unit->bias = shape->qkv_bias; /* a dropout stands behind its last matmul */
	put(units, UNIT_ADD, p)->drops = left_out;
	put(units, UNIT_BEGIN, p);
	put(units, UNIT_LAYER_NORM, p)->named = true;
	linear(units, p, (int64_t)(s->ffn * (double)width));
	put(units, UNIT_GELU, p);
	linear(units, p, width);
	put(units, UNIT_DROPOUT, p);
	put(units, UNIT_ADD, p);
	put(units, UNIT_END, p);
}

/* Four places become one, with twice the channels. */
static void swin_merge(struct units *units, struct picture *p)
{
	struct unit *merge = put(units, UNIT_MERGE, p);

	p->high = (p->high + 1) / 2;
	p->wide = (p->wide + 1) / 2;
	p->channels *= 4;
	merge->padded = 4 * places_of(p);
	merge->places = places_of(p);
	merge->out = p->channels;
	put(units, UNIT_LAYER_NORM, p);
	linear(units, p, p->channels / 2)->bias = false;
}

static void swin(const struct shape *shape, struct units *units, struct picture *p)
{
	const struct stages *s = &shape->stages;
	bool any = false;
	struct unit *unit;

	p->high = up(p->high, s->patch);
	p->wide = up(p->wide, s->patch);
	unit = convolution(units, p, s->width[0], s->patch, s->patch, 0);
	unit->bias = unit->relaid = true;
	unit = put(units, UNIT_LAYER_NORM, p);
	unit->turned = unit->copied = true;
	if (s->positioned)
		put(units, UNIT_POSITIONS, p);
	put(units, UNIT_DROPOUT, p);
	for (int i = 0; i < s->count; i++) {
		for (int64_t k = 0; k < s->depth[i]; k++) {
			swin_layer(shape, units, p, i, k % 2, s->left_out && any);
			any = true;
		}
		if (i + 1 < s->count)
			swin_merge(units, p);
		put(units, UNIT_OUTPUT, p);
	}
	put(units, UNIT_LAYER_NORM, p)->apart = true;
}

void units_of(const struct shape *shape, struct units *units)
{
	const struct stages *s = &shape->stages;
	struct picture p = {s->high, s->wide, s->channels};

	*units = (struct units){0};
	if (shape->family == FAMILY_RESNET)
		resnet(s, units, &p);
	else if (shape->family == FAMILY_CONVNEXT)
		convnext(s, units, &p);
	else
		swin(shape, units, &p);
	struct unit *mean = put(units, UNIT_MEAN, &p);
	mean->places = p.high = p.wide = 1;
	if (shape->family == FAMILY_CONVNEXT)
		put(units, UNIT_LAYER_NORM, &p);
}

/* ---- weights ----------------------------------------------------------------------------- */

static struct weight vector(enum role role, int64_t rows, int64_t copies)
{
	return (struct weight){
	        .role = role, .rows = rows, .copies = copies, .target = -1};
}

static struct weight matrix(enum role role, int64_t rows, int64_t columns)
{
	return (struct weight){.role = role,
	                       .rows = rows,
	                       .columns = columns,
	                       .copies = 1,
	                       .target = -1};
}

int unit_weights(const struct unit *unit, struct weight weights[UNIT_WEIGHTS])
{
	int64_t side = 2 * unit->kernel - 1;

	switch (unit->kind) {
	case UNIT_CONVOLUTION:
		weights[0] = matrix(ROLE_CONVOLUTION, unit->kernel, unit->kernel);
		weights[0].stacked = unit->in / unit->groups * unit->out;
		weights[1] = vector(ROLE_BIAS, unit->out, unit->bias);
		return 2;
	case UNIT_BATCH_NORM:
	case UNIT_LAYER_NORM:
		weights[0] = vector(ROLE_NORM, unit->in, 2);
		return 1;
	case UNIT_LINEAR:
		weights[0] = matrix(ROLE_MLP, unit->out, unit->in);
		weights[1] = vector(ROLE_BIAS, unit->out, unit->bias);
		return 2;
	case UNIT_SCALE:
		weights[0] = vector(ROLE_BIAS, unit->in, 1);
		return 1;
	case UNIT_POSITIONS:
		weights[0] = matrix(ROLE_POSITION, unit->read, unit->in);
		return 1;
	case UNIT_WINDOWS:
		weights[0] = matrix(ROLE_POSITION, side * side, unit->heads);
		weights[1] = matrix(ROLE_ATTENTION, unit->in, unit->in);
		weights[1].copies = 4;
		weights[2] = vector(ROLE_BIAS, unit->in, 1 + 3 * unit->bias);
		return 3;
	default:
		return 0;
	}
}

/* ---- what is saved ----------------------------------------------------------------------- */

int64_t unit_saves(const struct unit *unit, const struct unit_widths *w)
{
	int64_t read = unit->in * unit->read, made = unit->out * unit->places;

	switch (unit->kind) {
	case UNIT_CONVOLUTION:
	case UNIT_LINEAR:
		return unit->again ? 0 : w->wide * read;
	case UNIT_BATCH_NORM:
	case UNIT_GELU:
	case UNIT_SCALE:
		return w->wide * read;
	case UNIT_LAYER_NORM:
		return w->stream * read + 8 * unit->read; /* and mean, 1/deviation */
	case UNIT_RELU:
		return w->wide * made;
	case UNIT_MAX_POOL: /* and where each was, a number of 8 bytes */
		return (w->wide + 8) * made;
	case UNIT_WINDOWS: /* what they read; q, k, v and the result; scores, or their sums */
		return w->wide * (4 + w->casts) * unit->in * unit->padded +
		       (w->score ? w->score * unit->window : 4) * unit->heads *
		               unit->padded +
		       (unit->shifted && !w->score
		                ? w->wide * unit->window * unit->heads * unit->padded
		                : 0);
	default:
		return 0;
	}
}
