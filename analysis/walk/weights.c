/* weights.c - the weights of a transformer on a tape.
 * Called from: walk.c. */
#include <stdlib.h>

#include "heap.h"
#include "transformer.h"

static const struct ten none = {.v = NO_TENSOR};

static struct ten weight(struct transformer *m, int64_t rows, int64_t columns)
{
	int64_t count = rows * columns;
	struct ten made = {.count = count, .width = m->wide};

	made.v = tape_weight(m->ops.tape, count * m->wide, true);
	m->sizes = grow(m->sizes, m->count, &m->room, sizeof(*m->sizes));
	m->sizes[m->count++] = count;
	m->elements += count;
	return made;
}

static struct ten bias(struct transformer *m, bool there, int64_t rows)
{
	return there ? weight(m, rows, 1) : none;
}

static struct norm_weights norm_of(struct transformer *m, int64_t over)
{
	return (struct norm_weights){
	        .weight = weight(m, over, 1),
	        .bias = bias(m, m->shape->norm == NORM_LAYER, over)};
}

static void make_layer(struct transformer *m, struct layer_weights *w)
{
	const struct shape *s = m->shape;
	int64_t inner = s->heads * s->head_dim, keys = s->kv_heads * s->head_dim;
	bool gated = s->mlp == MLP_GATED;

	*w = (struct layer_weights){.k = none,
	                            .v = none,
	                            .k_bias = none,
	                            .v_bias = none,
	                            .gate = none,
	                            .gate_bias = none,
	                            .up = none,
	                            .q_norm = {none, none},
	                            .k_norm = {none, none}};
	w->q = weight(m, s->fused ? inner + 2 * keys : inner, s->hidden);
	w->q_bias = bias(m, s->qkv_bias, s->fused ? inner + 2 * keys : inner);
	if (!s->fused) {
		w->k = weight(m, keys, s->hidden);
		w->k_bias = bias(m, s->qkv_bias, keys);
		w->v = weight(m, keys, s->hidden);
		w->v_bias = bias(m, s->qkv_bias, keys);
	}
	w->o = weight(m, inner, s->hidden);
	w->o_bias = bias(m, s->out_bias, s->hidden);
	if (s->head_norm) {
		w->q_norm.weight = weight(m, s->whole_norm ? inner : s->head_dim, 1);
		w->k_norm.weight = weight(m, s->whole_norm ? keys : s->head_dim, 1);
	}
	if (gated)
		w->gate = weight(m, s->fused ? 2 * s->ffn : s->ffn, s->hidden);
	w->gate_bias = bias(m, gated && !s->fused && s->mlp_bias, s->ffn);
	if (!gated || !s->fused)
		w->up = weight(m, s->ffn, s->hidden);
	w->up_bias = bias(m, s->mlp_bias, s->ffn);
	w->down = weight(m, s->hidden, s->ffn);
	w->down_bias = bias(m, s->mlp_bias, s->hidden);
	for (int i = 0; i < s->norms; i++)
		w->norm[i] = norm_of(m, s->hidden);
	if (s->buffer)
		tape_make(m->ops.tape, s->buffer, TAPE_PARAMETER);
}

bool transformer_make(struct transformer *m)
{
	const struct shape *s = m->shape;

	if (s->patch || s->head != HEAD_LM || s->norms < 1 || s->norms > 4)
		return false;
	m->embedding = weight(m, s->vocab, s->hidden);
	m->positions = bias(m, s->positions > 0, s->positions * s->hidden);
	m->types = bias(m, s->types > 0, s->types * s->hidden);
	if (s->embedding_norm)
		m->embedding_norm = norm_of(m, s->hidden);
	m->layers = allocate((size_t)(m->layer_count + 1) * sizeof(*m->layers));
	for (int64_t i = 0; i < m->layer_count; i++)
		make_layer(m, &m->layers[i]);
	if (s->final_norm)
		m->final_norm = norm_of(m, s->hidden);
	m->head = s->tied ? m->embedding : weight(m, s->vocab, s->hidden);
	m->head_bias = bias(m, s->head_bias, s->vocab);
	return true;
}

void transformer_free(struct transformer *m)
{
	free(m->layers);
	free(m->contexts);
	free(m->sizes);
}
