/* transformer.c - a transformer as Hugging Face's transformers 5 runs it.
 * A Python variable holds what it names until it is given another value or its function returns;
 * that decides what stands at the peak as much as what autograd saves.
 * Called from: clip.c, encoder.c, walk.c. */
#include "transformer.h"

#include <stdlib.h>

#include "heap.h"

/* ---- the model --------------------------------------------------------------------------- */

struct one_layer {
	struct transformer *model;
	const struct layer_weights *weights;
};

/* What a branch gave, as the stream takes it. */
static struct ten scaled(struct transformer *m, struct ten x, bool times)
{
	struct ten result = times ? ops_unary(&m->ops, x, SAVE_NONE) : x;

	if (times)
		ops_let(&m->ops, &x);
	return result;
}

/* The norms of a layer, and which comes where: 0 is attention, 1 the feed-forward. NULL: none. */
static const struct norm_weights *norm_before(const struct shape *s,
                                              const struct layer_weights *w, int branch)
{
	if (s->post_norm)
		return s->norms == 4 ? &w->norm[2 * branch] : NULL;
	return s->norms == 1 ? &w->norm[0] : &w->norm[branch];
}

static const struct norm_weights *norm_after(const struct shape *s,
                                             const struct layer_weights *w, int branch)
{
	if (!s->post_norm)
		return NULL;
	return s->norms == 4 ? &w->norm[2 * branch + 1] : &w->norm[branch];
}

static struct ten read_by(struct transformer *m, const struct layer_weights *w,
                          struct ten x, int branch)
{
	const struct norm_weights *norm = norm_before(m->shape, w, branch);

	return norm ? transformer_norm(m, x, norm, m->shape->hidden)
	            : ops_hold(&m->ops, x);
}

/* What a branch gave, on its way to the stream; it takes the place of `given`. */
static struct ten finished(struct transformer *m, const struct layer_weights *w,
                           struct ten given, int branch)
{
	const struct norm_weights *norm = norm_after(m->shape, w, branch);
	struct ops *o = &m->ops;
	struct ten normed = norm ? transformer_norm(m, given, norm, m->shape->hidden)
	                         : ops_hold(o, given),
	           result;

	ops_let(o, &given);
	result = ops_dropout(o, normed,
	                     branch ? transformer_drops_in(m, PLACE_MLP)
	                            : !m->shape->dropout_inside &&
	                                      transformer_drops_in(m, PLACE_ATTENTION));
	ops_let(o, &normed);
	return result;
}

/* The stream plus what a branch gave, times a number where the model has one. */
static struct ten joined(struct transformer *m, struct ten x, struct ten branch)
{
	struct ops *o = &m->ops;
	struct ten term = m->shape->scaled_residual ? ops_unary(o, branch, SAVE_NONE)
	                                            : ops_hold(o, branch),
	           sum = ops_add(o, x, term);

	ops_let(o, &term);
	return m->shape->flattened ? ops_reshaped(o, sum) : sum;
}

/* Which of the three is added to first: under autocast the stream is the widest. */
static bool stream_first(const struct shape *s)
{
	return s->family == FAMILY_COHERE || s->family == FAMILY_COHERE2 ||
	       s->family == FAMILY_STABLELM;
}

/* GPT-NeoX: the feed-forward reads the layer's input too. Takes what attention read and gave. */
static tensor_id in_parallel(struct transformer *m, const struct layer_weights *w,
                             struct ten x, struct ten read, struct ten attended)
{
	struct ops *o = &m->ops;
	struct ten h = read, b, sum, all;

	if (m->shape->norms > 1) {
		ops_let(o, &read);
		h = read_by(m, w, x, 1);
	}
	b = finished(m, w, transformer_feed_forward(m, w, h), 1);
	if (m->shape->norms > 1)
		ops_let(o, &h);
	sum = ops_add(o, stream_first(m->shape) ? x : b, attended);
	all = ops_add(o, sum, stream_first(m->shape) ? b : x);
	ops_let(o, &sum);
	if (m->shape->norms <= 1) /* named until the sum takes its name */
		ops_let(o, &h);
	ops_let(o, &b);
	ops_let(o, &attended);
	return all.v;
}

/* Variables of a layer that other models give a new value, or have none for: what the feed-forward
 * and the attention read, until the next norm has run; what the attention gave, to the end. */
static bool names_what_it_read(const struct shape *s)
{
	return s->family == FAMILY_MPT || s->family == FAMILY_BLOOM;
}

/* ... until the sum takes the name. */
static bool names_until_the_sum(const struct shape *s)
{
	return s->family == FAMILY_STABLELM || names_what_it_read(s);
}

static bool names_attended(const struct shape *s)
{
	return s->family == FAMILY_GPT2 || s->family == FAMILY_STABLELM ||
	       s->family == FAMILY_MPT;
}

static tensor_id run_layer(struct tape *tape, void *context, tensor_id input)
{
	struct one_layer *layer = context;
	const struct layer_weights *w = layer->weights;
	struct transformer *m = layer->model;
	struct ops *o = &m->ops;
	struct ten x = {
	        input, m->tokens * m->shape->hidden,
	        (int)(tape_bytes(tape, input) / (m->tokens * m->shape->hidden))};
	struct ten h, weights, before, a, b, c;
	tensor_id result;

	if (m->shape->family == FAMILY_FALCON)
		return falcon_layer(m, w, x);
	h = read_by(m, w, x, 0);
	b = finished(m, w, transformer_attention(m, w, h, &weights), 0);
	if (m->shape->parallel) {
		result = in_parallel(m, w, x, h, b);
	} else {
		before = h;
		if (!names_until_the_sum(m->shape))
			ops_let(o, &before);
		a = joined(m, x, b);
		if (!names_what_it_read(m->shape))
			ops_let(o, &before);
		if (!names_attended(m->shape))
			ops_let(o, &b);
		h = read_by(m, w, a, 1);
		ops_let(o, &before);
		c = finished(m, w, transformer_feed_forward(m, w, h), 1);
		if (!names_until_the_sum(m->shape))
			ops_let(o, &h);
		result = joined(m, a, c).v;
		ops_let(o, &m->named);
		ops_let(o, &h);
		ops_let(o, &b);
		ops_let(o, &c);
		ops_let(o, &a);
	}
	if (weights.v != NO_TENSOR)
		ops_let(o, &weights);
	return result;
}

/* Where layers are checkpointed, transformers asks for these rows' gradient though their table be
 * frozen. Source: enable_input_require_grads() in modeling_utils.py, transformers 5.23. */
struct ten transformer_words(struct transformer *m)
{
	struct ops *o = &m->ops;
	struct ten rows =
	        ops_embedding(o, m->embedding, m->ids, shape_embedding(m->shape));

	if (m->training->checkpoint != CHECKPOINT_FULL ||
	    tape_wants_grad(o->tape, rows.v))
		return rows;
	tape_ask_gradient(o->tape, rows.v);
	m->asked = ops_hold(o, rows);
	return rows;
}

/* What the layers read. held: `inputs_embeds` and the rows of positions, which are variables of the
 * model's until all layers have run. */
static struct ten embedded(struct transformer *m, struct ten held[2])
{
	struct ops *o = &m->ops;
	struct ten x = transformer_words(m), sum;

	x = scaled(m, x, m->shape->scaled_embedding);
	held[0] = ops_hold(o, x);
	if (m->shape->positions) {
		struct ten rows =
		        ops_make(o, m->shape->each_position ? m->tokens : m->seq, 8);
		held[1] = ops_embedding(o, m->positions, rows, m->shape->hidden);
		ops_let(o, &rows);
		sum = ops_add(o, x, held[1]);
		ops_let(o, &x);
		x = sum;
	}
	if (m->shape->embedding_norm) {
		sum = transformer_norm(m, x, &m->embedding_norm, m->shape->hidden);
		ops_let(o, &x);
		x = sum;
	}
	sum = ops_dropout(o, x, transformer_drops_in(m, PLACE_EMBEDDING));
	ops_let(o, &x);
	if (m->shape->family == FAMILY_PHI) { /* which gives the variable the result */
		ops_let(o, &held[0]);
		held[0] = ops_hold(o, sum);
	}
	return sum;
}

/* The tables of the rotary embedding, of all layers. */
static void make_tables(struct transformer *m, int width)
{
	if (m->shape->rotation == ROTATION_TABLES_FP32)
		width = 4;
	if (!m->shape->rotary)
		return;
	if (m->shape->complex) {
		m->cosine = ops_make(&m->ops, m->seq * m->shape->rotary, 4);
		m->sine = m->other_tables[0] = m->other_tables[1] = none;
		return;
	}
	m->cosine = ops_make(&m->ops, m->seq * m->shape->rotary, width);
	m->sine = ops_make(&m->ops, m->seq * m->shape->rotary, width);
	for (int i = 0; i < 2; i++)
		m->other_tables[i] =
		        m->shape->two_tables
		                ? ops_make(&m->ops, m->seq * m->shape->rotary, width)
		                : none;
}

static struct ten one_mask(struct transformer *m, int64_t count, int width)
{
	struct ten seen = ops_make(&m->ops, count, 1),
	           mask = ops_make(&m->ops, count, width);

	ops_let(&m->ops, &seen);
	return mask;
}

/* What a token may see, added to the scores: of the whole batch, in the stream's width. A kernel
 * needs none, or a true or false where layers see a window. */
static void make_mask(struct transformer *m, int width)
{
	int64_t count = m->batch * m->seq * m->seq;

	m->mask = m->other_mask = none;
	if (m->shape->family == FAMILY_MPT) /* true where a token may not be seen */
		width = 1;
	if (m->training->attention != ATTENTION_FLASH && !m->shape->patch) {
		m->mask = one_mask(m, count, width);
		if (m->shape->two_masks)
			m->other_mask = one_mask(m, count, width);
	} else if (m->shape->family == FAMILY_FALCON ||
	           (m->shape->window && m->seq >= m->shape->window))
		m->mask = ops_make(&m->ops, count, 1);
}

static struct ten loss_of(struct transformer *m, struct ten x)
{
	struct ops *o = &m->ops;
	struct ten logits = ops_linear(o, x, m->head, m->head_bias, m->shape->hidden,
	                               m->shape->vocab);
	struct ten wide, loss;

	logits = scaled(m, logits, m->shape->scaled_logits);
	if (m->shape->logit_cap)
		logits = transformer_capped(o, logits);
	wide = ops_to(o, logits, 4);
	loss = ops_cross_entropy(o, wide, m->ids);
	ops_let(o, &wide);
	m->output =
	        logits; /* `outputs` holds them, in the loop that most people write */
	return loss;
}

void transformer_backward(struct transformer *m, tensor_id loss)
{
	tape_backward(m->ops.tape, loss);
	if (m->sharding)
		sharding_backward_ends(m->sharding);
	ops_let(&m->ops, &m->mask);
	ops_let(&m->ops, &m->other_mask);
	if (m->shape->family == FAMILY_DEBERTA)
		deberta_ends(m);
	if (!m->shape->rotary)
		return;
	ops_let(&m->ops, &m->cosine);
	ops_let(&m->ops, &m->sine);
	for (int i = 0; i < 2; i++)
		ops_let(&m->ops, &m->other_tables[i]);
}

/* Does one of two masks belong to some of the layers, and the other to the rest? */
static bool layers_differ(const struct transformer *m)
{
	for (int64_t i = 1; i < m->layer_count; i++)
		if (m->layers[i].windowed != m->layers[0].windowed)
			return true;
	return false;
}

/* What the layers read; held: what is named until they have run. */
static struct ten begun(struct transformer *m, struct ten held[2])
{
	struct ops *o = &m->ops;
	struct ten x = m->shape->patch ? vision_embedded(m) : embedded(m, held);

	if (m->shape->family == FAMILY_CLIP) {
		ops_let(o, &held[0]);
		ops_let(o, &held[1]);
	}
	if (m->shape->patch || m->shape->family == FAMILY_CLIP)
		held[0] = ops_hold(o, x); /* a variable of the model's */
	return x;
}

struct ten transformer_body(struct transformer *m)
{
	struct ops *o = &m->ops;
	struct ten x, held[2] = {none, none}, next;
	struct one_layer *list = allocate((size_t)(m->layer_count + 1) * sizeof(*list));
	bool again = m->training->checkpoint == CHECKPOINT_FULL;

	x = begun(m, held);
	make_tables(m, x.width);
	make_mask(m, x.width);
	for (int64_t i = 0; i < m->layer_count; i++) {
		if (m->sharding)
			sharding_before(m->sharding, (int)i);
		list[i] = (struct one_layer){m, &m->layers[i]};
		next = x;
		next.v = again ? tape_checkpoint(o->tape, run_layer, &list[i], x.v)
		               : run_layer(o->tape, &list[i], x.v);
		ops_let(o, &x);
		x = next;
		if (m->sharding)
			sharding_after(m->sharding, (int)i);
	}
	if (m->shape->final_norm) {
		next = transformer_norm(m, x, &m->final_norm, m->shape->hidden);
		ops_let(o, &x);
		x = next;
	}
	ops_let(o, &held[0]);
	if (!again) /* else the layers need it once more */
		ops_let(o, &m->mask);
	if (!again || !layers_differ(m))
		ops_let(o, &m->other_mask);
	ops_let(o, &held[1]);
	free(m->contexts);
	m->contexts = list; /* the backward runs them again */
	return x;
}

tensor_id transformer_forward(struct transformer *m)
{
	struct ops *o = &m->ops;
	struct ten x, loss;

	if (m->sharding)
		sharding_before(m->sharding, SHARDING_ROOT);
	x = transformer_body(m);
	loss = m->shape->head == HEAD_LM ? loss_of(m, x) : heads_loss(m, x);
	ops_let(o, &x);
	tape_autocast_ends(o->tape);
	if (m->sharding)
		sharding_after(m->sharding, SHARDING_ROOT);
	return loss.v;
}
