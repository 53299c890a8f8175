/* seq2seq.c - two stacks of layers, of which the second attends to what the first gave: T5, mT5,
 * BART and Whisper as Hugging Face's transformers 5 runs them.
 * Source: models/NAME/modeling_NAME.py, transformers 5.23, of t5, mt5, bart and whisper.
 * Called from: walk.c. */
#include <stdlib.h>

#include "heap.h"
#include "transformer.h"

struct one_layer {
	struct transformer *model;
	const struct layer_weights *weights, *cross; /* cross: of the second stack */
};

static int64_t target_of(const struct transformer *m)
{
	return m->training->target ? m->training->target : m->training->seq;
}

/* The stack that runs now. A layer that runs again in the backward says it anew. */
static void enter(struct transformer *m, bool second)
{
	m->seq = m->keys = second ? target_of(m) : m->training->seq;
	m->tokens = m->batch * m->seq;
}

/* ---- T5 ---------------------------------------------------------------------------------- */

/* compute_bias(): a table looked up by the distance of two tokens. */
static struct ten bias_of(struct transformer *m, struct ten table)
{
	struct ops *o = &m->ops;
	struct ten places = ops_make(o, m->seq * m->seq, 8), bias;

	bias = ops_embedding(o, table, places, m->shape->heads);
	ops_let(o, &places);
	return bias;
}

static struct ten gated(struct transformer *m, const struct layer_weights *w,
                        struct ten x)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten a = transformer_linear(m, w, LORA_GATE, x, w->gate, none, s->hidden,
	                                  s->ffn),
	           b, c;

	b = transformer_function(o, s->gate, a);
	ops_let(o, &a);
	a = transformer_linear(m, w, LORA_UP, x, w->up, none, s->hidden, s->ffn);
	c = ops_mul(o, b, a);
	ops_let(o, &a);
	ops_let(o, &b);
	return c;
}

static struct ten t5_feed_forward(struct transformer *m, const struct layer_weights *w,
                                  struct ten x)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten a, b;

	if (s->mlp == MLP_GATED) {
		a = gated(m, w, x);
	} else {
		b = transformer_linear(m, w, LORA_UP, x, w->up, none, s->hidden,
		                       s->ffn);
		a = transformer_function(o, s->mlp, b);
		ops_let(o, &b);
	}
	b = ops_dropout(o, a, transformer_drops(m));
	ops_let(o, &a);
	a = ops_to(o, b, w->down.width); /* the weight's own, under autocast too */
	ops_let(o, &b);
	b = transformer_linear(m, w, LORA_DOWN, a, w->down, none, s->ffn, s->hidden);
	ops_let(o, &a);
	return b;
}

static tensor_id run_t5_layer(struct one_layer *layer, struct ten x)
{
	struct transformer *m = layer->model;
	const struct layer_weights *w = layer->weights;
	struct ops *o = &m->ops;
	struct ten weights = none, h, a, b;

	m->bias = m->stack_bias[layer->cross != NULL];
	h = transformer_norm(m, x, &w->norm[0], m->shape->hidden);
	a = ops_branch(o, transformer_drops(m), x,
	               transformer_attention(m, w, h, &weights));
	ops_let(o, &h);
	if (layer->cross) {
		struct ten first = weights;
		m->bias = m->cross_bias;
		h = transformer_norm(m, a, &layer->cross->norm[0], m->shape->hidden);
		b = transformer_attention_to_memory(m, layer->cross, h, &weights);
		b = ops_branch(o, transformer_drops(m), a, b);
		ops_let(o, &h);
		ops_let(o, &first);
		ops_let(o, &a);
		a = b;
	}
	h = transformer_norm(m, a, &w->norm[1], m->shape->hidden);
	b = ops_branch(o, transformer_drops(m), a, t5_feed_forward(m, w, h));
	ops_let(o, &h);
	ops_let(o, &a);
	ops_let(o, &weights);
	m->bias = none;
	return b.v;
}

/* ---- BART -------------------------------------------------------------------------------- */

/* The norm of x and what a branch gave, which is let go of. */
static struct ten joined(struct transformer *m, struct ten x, struct ten branch,
                         const struct norm_weights *norm)
{
	struct ten sum = ops_branch(&m->ops, transformer_drops(m), x, branch);
	struct ten result = transformer_norm(m, sum, norm, m->shape->hidden);

	ops_let(&m->ops, &sum);
	return result;
}

static tensor_id run_bart_layer(struct one_layer *layer, struct ten x)
{
	struct transformer *m = layer->model;
	const struct layer_weights *w = layer->weights;
	struct ops *o = &m->ops;
	struct ten weights, a, b;

	a = transformer_attention(m, w, x, &weights);
	a = joined(m, x, a, &w->norm[0]);
	if (layer->cross) {
		struct ten first = weights;
		b = transformer_attention_to_memory(m, layer->cross, a, &weights);
		b = joined(m, a, b, &layer->cross->norm[0]);
		ops_let(o, &first);
		ops_let(o, &a);
		a = b;
	}
	b = joined(m, a, transformer_feed_forward(m, w, a), &w->norm[1]);
	ops_let(o, &a);
	ops_let(o, &weights);
	return b.v;
}

/* ---- a stack ----------------------------------------------------------------------------- */

static tensor_id run_layer(struct tape *tape, void *context, tensor_id input)
{
	struct one_layer *layer = context;
	struct transformer *m = layer->model;
	struct ten x = {.v = input};

	enter(m, layer->cross != NULL);
	x.count = m->tokens * m->shape->hidden;
	x.width = (int)(tape_bytes(tape, input) / x.count);
	if (m->shape->family == FAMILY_WHISPER)
		return whisper_layer(m, layer->weights, layer->cross, x);
	return m->shape->family == FAMILY_T5 ? run_t5_layer(layer, x)
	                                     : run_bart_layer(layer, x);
}

/* BART's words, scaled, and positions, which an encoder counts for each sample; both are held
 * while the stack runs. */
static struct ten bart_embedded(struct transformer *m, bool second, struct ten held[2])
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten ids = ops_make(o, m->tokens, 8),
	           rows = ops_make(o, second ? m->seq : m->tokens, 8), x, y;

	x = ops_embedding(o, m->embedding, ids, s->hidden);
	held[0] = ops_unary(o, x, SAVE_NONE);
	ops_let(o, &x);
	held[1] = ops_embedding(o, second ? m->decoder_positions : m->positions, rows,
	                        s->hidden);
	ops_let(o, &ids);
	ops_let(o, &rows);
	x = ops_add(o, held[0], held[1]);
	y = transformer_norm(m, x,
	                     second ? &m->decoder_embedding_norm : &m->embedding_norm,
	                     s->hidden);
	ops_let(o, &x);
	x = ops_dropout(o, y, transformer_drops(m));
	ops_let(o, &y);
	return x;
}

static struct ten t5_embedded(struct transformer *m, struct ten held[2])
{
	struct ops *o = &m->ops;
	struct ten ids = ops_make(o, m->tokens, 8);

	held[0] = ops_embedding(o, m->embedding, ids, m->shape->hidden);
	held[1] = none;
	ops_let(o, &ids);
	return ops_dropout(o, held[0], transformer_drops(m));
}

static struct ten finished(struct transformer *m, struct ten x, bool second)
{
	struct ops *o = &m->ops;
	struct ten normed = transformer_norm(
	        m, x, second ? &m->decoder_norm : &m->final_norm, m->shape->hidden);
	struct ten result = ops_dropout(o, normed,
	                                m->shape->family == FAMILY_T5 &&
	                                        transformer_drops(m)); /* T5's alone */

	ops_let(o, &normed);
	ops_let(o, &x);
	return result;
}

static struct ten run_stack(struct transformer *m, struct one_layer *list, bool second)
{
	struct ops *o = &m->ops;
	enum family family = m->shape->family;
	bool t5 = family == FAMILY_T5,
	     again = m->training->checkpoint == CHECKPOINT_FULL;
	int64_t count = second ? m->shape->decoder_layers : m->shape->layers;
	struct ten held[2], x;

	enter(m, second);
	x = t5                         ? t5_embedded(m, held)
	    : family == FAMILY_WHISPER ? whisper_embedded(m, second, held)
	                               : bart_embedded(m, second, held);
	if (second && m->training->attention == ATTENTION_MATH)
		m->mask = ops_make(o, m->tokens * m->seq, x.width);
	if (t5)
		m->stack_bias[second] = bias_of(m, m->tables[second]);
	if (t5 && second)
		m->cross_bias = ops_make(o, m->shape->heads * m->seq * m->training->seq,
		                         o->half ? o->half : x.width);
	for (int64_t i = 0; i < count; i++) {
		struct ten next = x;
		list[i] = (struct one_layer){m, second ? &m->decoder[i] : &m->layers[i],
		                             second ? &m->cross[i] : NULL};
		next.v = again ? tape_checkpoint(o->tape, run_layer, &list[i], x.v)
		               : run_layer(o->tape, &list[i], x.v);
		next.width = (int)(tape_bytes(o->tape, next.v) / next.count);
		ops_let(o, &x);
		x = next;
	}
	if (m->shape->final_norm)
		x = finished(m, x, second);
	ops_let(o, &m->stack_bias[second]);
	ops_let(o, &m->cross_bias);
	ops_let(o, &held[0]);
	ops_let(o, &held[1]);
	return x;
}

tensor_id seq2seq_forward(struct transformer *m)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct one_layer *list =
	        allocate((size_t)(shape_all_layers(s) + 1) * sizeof(*list));
	struct ten x, y, loss;

	m->mask = m->bias = m->stack_bias[0] = m->stack_bias[1] = m->cross_bias = none;
	m->memory = run_stack(m, list, false);
	x = run_stack(m, list + s->layers, true);
	if (m->training->checkpoint != CHECKPOINT_FULL)
		ops_let(o, &m->mask);
	y = s->scaled_output ? ops_unary(o, x, SAVE_NONE) : ops_hold(o, x);
	m->output = ops_linear(o, y, m->head, none, s->hidden, s->vocab);
	ops_let(o, &y);
	if (s->family == FAMILY_BART) {
		/* plus final_logits_bias, which is not trained and of the weights' width */
		y = m->output.width < m->wide ? ops_to(o, m->output, m->wide)
		                              : ops_copy(o, m->output);
		ops_let(o, &m->output);
		m->output = y;
	}
	loss = ops_cross_entropy(o, m->output, m->ids);
	ops_let(o, &x);
	tape_autocast_ends(o->tape);
	free(m->contexts);
	m->contexts = list; /* the backward runs them again */
	return loss.v;
}
