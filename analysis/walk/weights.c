/* weights.c - the weights of a transformer on a tape.
 * Called from: clip.c, stages.c, walk.c. */
#include <stdlib.h>

#include "heap.h"
#include "transformer.h"

/* One that is trained, and the optimizer's. width: bytes of an element. */
static struct ten trained(struct transformer *m, int64_t rows, int64_t columns,
                          int width)
{
	int64_t count = rows * columns;
	struct ten made = {.count = count, .width = width};

	made.v = tape_weight(m->ops.tape, count * width, true);
	m->matrices =
	        grow(m->matrices, m->count, &m->matrix_room, sizeof(*m->matrices));
	m->matrices[m->count] = (struct matrix){.rows = rows, .columns = columns};
	m->sizes = grow(m->sizes, m->count, &m->room, sizeof(*m->sizes));
	m->sizes[m->count++] =
	        m->sharding ? sharding_weight(m->sharding, made.v, rows, columns)
	                    : count;
	return made;
}

/* One that is not trained: no gradient, and no optimizer has it. */
static struct ten frozen(struct transformer *m, int64_t count)
{
	m->elements += count;
	return (struct ten){tape_weight(m->ops.tape, count * m->wide, false), count,
	                    m->wide};
}

/* A weight of the model, frozen where adapters are trained in its place. */
static struct ten weight(struct transformer *m, int64_t rows, int64_t columns)
{
	if (m->training->lora_rank)
		return frozen(m, rows * columns);
	m->elements += rows * columns;
	return trained(m, rows, columns, m->wide);
}

/* A matmul's inside a layer, packed where the training packs. Its code table is one of 16 numbers;
 * where the scales are packed too they have scales and an offset. Source: quantize_4bit() of
 * bitsandbytes/functional.py, 0.50. */
static struct ten matmul(struct transformer *m, int64_t rows, int64_t columns)
{
	int64_t count = rows * columns, scales = (count + 63) / 64;
	struct ten made = {.count = count, .width = OPS_PACKED};
	tensor_id whole;

	if (m->training->parameter != DTYPE_NF4)
		return weight(m, rows, columns);
	m->elements += count;
	/* the device packs what was loaded */
	whole = tape_make(m->ops.tape, count * m->ops.unpacked, TAPE_TEMPORARY);
	made.v = tape_weight(m->ops.tape, (count + 1) / 2, false);
	tape_make(m->ops.tape, 16 * 4, TAPE_PARAMETER);
	tape_make(m->ops.tape, m->training->double_quant ? scales : 4 * scales,
	          TAPE_PARAMETER);
	if (m->training->double_quant) {
		tape_make(m->ops.tape, 4 * ((scales + 255) / 256), TAPE_PARAMETER);
		tape_make(m->ops.tape, 4, TAPE_PARAMETER);
	}
	tape_let(m->ops.tape, whole);
	return made;
}

struct ten transformer_weight(struct transformer *m, int64_t rows, int64_t columns,
                              int64_t stacked)
{
	struct ten made = trained(m, rows, columns * (stacked ? stacked : 1), m->wide);

	m->elements += made.count;
	m->matrices[m->count - 1].columns = columns;
	m->matrices[m->count - 1].stacked = stacked;
	return made;
}

static struct ten bias(struct transformer *m, bool there, int64_t rows)
{
	return there ? weight(m, rows, 1) : none;
}

/* An embedding, or the head. */
static struct ten table(struct transformer *m, bool there, int64_t rows,
                        int64_t columns)
{
	struct ten made = there ? weight(m, rows, columns) : none;

	if (there && !m->training->lora_rank)
		m->matrices[m->count - 1].table = true;
	return made;
}

static struct norm_weights norm_of(struct transformer *m, int64_t over)
{
	enum norm norm = m->shape->norm;

	return (struct norm_weights){
	        .weight = bias(m, norm != NORM_BARE, over),
	        .bias = bias(m, norm == NORM_LAYER || norm == NORM_ONE_PLUS, over)};
}

static void make_attention(struct transformer *m, struct layer_weights *w)
{
	const struct shape *s = m->shape;
	int64_t inner = s->heads * s->head_dim, keys = s->kv_heads * s->head_dim;

	w->q = matmul(m, s->fused ? inner + 2 * keys : inner, s->hidden);
	w->q_bias = bias(m, s->qkv_bias, s->fused ? inner + 2 * keys : inner);
	if (!s->fused) {
		w->k = matmul(m, keys, s->hidden);
		w->k_bias = bias(m, s->qkv_bias && !s->no_key_bias, keys);
		w->v = matmul(m, keys, s->hidden);
		w->v_bias = bias(m, s->qkv_bias, keys);
	}
	w->o = matmul(m, inner, s->hidden);
	w->o_bias = bias(m, s->out_bias, s->hidden);
	if (s->head_norm) {
		w->q_norm.weight = weight(m, s->whole_norm ? inner : s->head_dim, 1);
		w->k_norm.weight = weight(m, s->whole_norm ? keys : s->head_dim, 1);
	}
}

/* DeepSeek's. */
static void make_latent(struct transformer *m, struct layer_weights *w)
{
	const struct shape *s = m->shape;
	int64_t narrow = s->latent.queries, plain = s->head_dim - s->rotary;

	if (narrow) {
		w->narrow_q = matmul(m, narrow, s->hidden);
		w->narrow_q_bias = bias(m, s->out_bias, narrow);
		w->q_norm.weight = weight(m, narrow, 1);
	}
	w->q = matmul(m, s->heads * s->head_dim, narrow ? narrow : s->hidden);
	w->narrow_kv = matmul(m, s->latent.keys + s->rotary, s->hidden);
	w->narrow_kv_bias = bias(m, s->out_bias, s->latent.keys + s->rotary);
	w->k_norm.weight = weight(m, s->latent.keys, 1);
	w->k = matmul(m, s->heads * (plain + s->latent.value), s->latent.keys);
	w->o = matmul(m, s->hidden, s->heads * s->latent.value);
	w->o_bias = bias(m, s->out_bias, s->hidden);
}

static void make_feed_forward(struct transformer *m, struct layer_weights *w,
                              int64_t width)
{
	const struct shape *s = m->shape;
	bool gated = s->mlp == MLP_GATED, both = s->fused || s->fused_gate;

	if (gated)
		w->gate = matmul(m, both ? 2 * width : width, s->hidden);
	w->gate_bias = bias(m, gated && !both && s->mlp_bias, width);
	if (!gated || !both)
		w->up = matmul(m, width, s->hidden);
	w->up_bias = bias(m, s->mlp_bias, width);
	w->down = matmul(m, s->hidden, width);
	w->down_bias = bias(m, s->mlp_bias, s->hidden);
}

/* A tensor of all experts' matrices; no optimizer takes it for a matrix, nor does anything pack it. */
static struct ten stack(struct transformer *m, int64_t rows, int64_t columns)
{
	struct ten made = weight(m, m->shape->experts.count, rows * columns);

	if (!m->training->lora_rank) {
		m->matrices[m->count - 1].rows = rows;
		m->matrices[m->count - 1].columns = columns;
		m->matrices[m->count - 1].stacked = m->shape->experts.count;
	}
	return made;
}

static void make_experts(struct transformer *m, struct layer_weights *w)
{
	const struct shape *s = m->shape;
	bool router_last = s->family == FAMILY_LLAMA4 ||
	                   s->family == FAMILY_QWEN3_MOE || s->latent.keys;

	if (!router_last)
		w->router = weight(m, s->experts.count, s->hidden);
	if (s->family == FAMILY_LLAMA4) {
		w->experts_in = stack(m, s->hidden, 2 * s->experts.width);
		w->experts_out = stack(m, s->experts.width, s->hidden);
	} else {
		w->experts_in = stack(m, 2 * s->experts.width, s->hidden);
		w->experts_out = stack(m, s->hidden, s->experts.width);
	}
	if (router_last)
		w->router = weight(m, s->experts.count, s->hidden);
	if (s->family == FAMILY_DEEPSEEK_V3) /* what is added to choose by */
		tape_make(m->ops.tape, s->experts.count * m->wide, TAPE_PARAMETER);
	if (s->experts.shared)
		make_feed_forward(m, w, s->experts.shared);
	if (s->experts.shared_gate)
		w->shared_gate = matmul(m, 1, s->hidden);
}

static void make_layer(struct transformer *m, struct layer_weights *w, int64_t layer)
{
	const struct shape *s = m->shape;
	int64_t inner = s->heads * s->head_dim;

	*w = (struct layer_weights){.k = none,
	                            .v = none,
	                            .k_bias = none,
	                            .v_bias = none,
	                            .gate = none,
	                            .narrow_q_bias = none,
	                            .narrow_kv_bias = none,
	                            .gate_bias = none,
	                            .up = none,
	                            .sparse = layer_in(&s->experts.layers, layer),
	                            .q_norm = {none, none},
	                            .k_norm = {none, none},
	                            .windowed = layer_in(&s->windowed, layer),
	                            .unturned = layer_in(&s->unturned, layer)};
	/* optimizers go over the weights in the order in which they are registered */
	for (int i = 0; i < s->norms_first; i++)
		w->norm[i] = norm_of(m, s->hidden);
	if (s->latent.keys)
		make_latent(m, w);
	else
		make_attention(m, w);
	if (w->sparse)
		make_experts(m, w);
	else
		make_feed_forward(m, w, s->ffn);
	for (int i = s->norms_first; i < s->norms; i++)
		w->norm[i] = norm_of(m, s->hidden);
	if (s->relative.rows && !s->relative.shared && s->relative.to_position) {
		w->far_k = weight(m, inner, s->hidden);
		w->far_k_bias = weight(m, inner, 1);
	}
	if (s->relative.rows && !s->relative.shared && s->relative.from_position) {
		w->far_q = weight(m, inner, s->hidden);
		w->far_q_bias = weight(m, inner, 1);
	}
	if (s->buffer)
		tape_make(m->ops.tape, s->buffer, TAPE_PARAMETER);
}

/* PEFT knows these matmuls of DeepSeek's attention by their names. */
static struct sides latent_sides(const struct shape *s, enum lora_target target)
{
	if (target == LORA_O)
		return (struct sides){.in = s->heads * s->latent.value,
		                      .out = s->hidden};
	if (target == LORA_Q && !s->latent.queries)
		return (struct sides){.in = s->hidden, .out = s->heads * s->head_dim};
	return (struct sides){.in = 0};
}

/* The feed-forward of a layer with experts is the part that all tokens go through, if there is one. */
static struct sides sides_of(struct transformer *m, const struct layer_weights *w,
                             enum lora_target target)
{
	struct sides sides = lora_sides(m->shape, m->training, target);
	int64_t shared = m->shape->experts.shared;

	if (m->shape->latent.keys && target < LORA_GATE && sides.in)
		return latent_sides(m->shape, target);
	if (!w->sparse || target < LORA_GATE || !sides.in)
		return sides;
	if (!shared)
		return (struct sides){.in = 0};
	return target == LORA_DOWN ? (struct sides){.in = shared, .out = sides.out}
	                           : (struct sides){.in = sides.in, .out = shared};
}

/* The adapters of a layer, in the order of its matmuls. */
static void make_adapters(struct transformer *m, struct layer_weights *w)
{
	int width = dtype_bytes(m->training->adapter);
	int64_t rank = m->training->lora_rank;

	for (int i = 0; i < LORA_COUNT; i++) {
		struct sides sides = sides_of(m, w, i);
		if (!sides.in)
			continue;
		w->adapters[i] =
		        (struct adapter){.there = true,
		                         .down = trained(m, rank, sides.in, width),
		                         .up = trained(m, sides.out, rank, width)};
	}
}

static void make_embedding(struct transformer *m)
{
	const struct shape *s = m->shape;
	int64_t wide = shape_embedding(s);

	if (s->vocab)
		m->embedding = table(m, true, s->vocab, wide);
	if (s->patch) {
		m->embedding = table(m, true, s->hidden, s->patch);
		m->embedding_bias = bias(m, s->family != FAMILY_CLIP, s->hidden);
		m->first_token = weight(m, s->hidden, 1);
	}
	if (s->mel) {
		m->positions = frozen(m, s->positions * wide);
		m->sound[0] = table(m, true, wide, 3 * s->mel);
		m->sound[1] = table(m, true, wide, 3 * wide);
		for (int i = 0; i < 2; i++)
			m->sound_bias[i] = weight(m, wide, 1);
	} else {
		m->positions = table(m, s->positions > 0, s->positions, wide);
	}
	m->types = table(m, s->types > 0, s->types, wide);
	if (s->embedding_norm)
		m->embedding_norm = norm_of(
		        m, s->projection == PROJECT_BEFORE_NORM ? s->hidden : wide);
	if (s->projection)
		m->projection = weight(m, s->hidden, wide);
	m->projection_bias = bias(m, s->projection == PROJECT_AFTER_NORM, s->hidden);
	m->relative = table(m, s->relative.rows > 0, s->relative.rows, s->hidden);
	if (s->relative.norm)
		m->relative_norm = norm_of(m, s->hidden);
}

static void make_head(struct transformer *m)
{
	const struct shape *s = m->shape;
	bool masked = s->head == HEAD_MASKED,
	     pooled = s->head == HEAD_SEQUENCE && s->encoder;
	int64_t wide = masked ? shape_embedding(s) : s->hidden;

	if (s->head == HEAD_CONTRAST) {
		if (s->patch)
			m->head_norm = norm_of(m, s->hidden);
		m->head = weight(m, s->pictures.projection, s->hidden);
		return;
	}

	m->dense = masked || pooled ? weight(m, wide, s->hidden) : none;
	m->dense_bias = bias(m, masked || pooled, wide);
	if (masked)
		m->head_norm = norm_of(m, wide);
	if (shape_has_words(s)) {
		m->head = s->tied ? m->embedding : table(m, true, s->vocab, s->hidden);
		m->head_bias = bias(m, masked || s->head_bias, s->vocab);
		return;
	}
	m->head = weight(m, s->classes, s->hidden);
	m->head_bias =
	        bias(m, s->head == HEAD_TOKENS || s->head == HEAD_CLASSES || s->encoder,
	             s->classes);
}

/* The second stack: its layers, the attention between the stacks, tables and norms. */
static void make_decoder(struct transformer *m)
{
	const struct shape *s = m->shape;
	size_t count = (size_t)s->decoder_layers;
	int64_t inner = s->heads * s->head_dim;

	m->decoder = allocate((count + 1) * sizeof(*m->decoder));
	m->cross = allocate((count + 1) * sizeof(*m->cross));
	for (size_t i = 0; i < count; i++) {
		struct layer_weights *w = &m->cross[i];
		make_layer(m, &m->decoder[i], (int64_t)i);
		w->q = weight(m, inner, s->hidden);
		w->k = weight(m, inner, s->hidden);
		w->v = weight(m, inner, s->hidden);
		w->o = weight(m, s->hidden, inner);
		w->q_bias = bias(m, s->qkv_bias, inner);
		w->k_bias = bias(m, s->qkv_bias && !s->no_key_bias, inner);
		w->v_bias = bias(m, s->qkv_bias, inner);
		w->o_bias = bias(m, s->out_bias, s->hidden);
		w->norm[0] = norm_of(m, s->hidden);
	}
	m->decoder_positions =
	        table(m, s->target_positions > 0, s->target_positions, s->hidden);
	if (s->embedding_norm)
		m->decoder_embedding_norm = norm_of(m, s->hidden);
	if (s->final_norm)
		m->decoder_norm = norm_of(m, s->hidden);
	for (int i = 0; i < 2; i++)
		m->tables[i] = table(m, s->buckets > 0, s->buckets, s->heads);
}

bool transformer_make(struct transformer *m)
{
	const struct shape *s = m->shape;

	make_embedding(m);
	m->layers = allocate((size_t)(m->layer_count + 1) * sizeof(*m->layers));
	if (m->sharding)
		sharding_leave_out(m->sharding);
	for (int64_t i = 0; i < shape_own_layers(s); i++) {
		make_layer(m, &m->layers[i], i);
		if (m->sharding)
			sharding_group(m->sharding);
	}
	if (s->final_norm)
		m->final_norm = norm_of(m, s->hidden);
	if (s->decoder_layers)
		make_decoder(m);
	make_head(m);
	for (int64_t i = 0; i < shape_own_layers(s) && m->training->lora_rank; i++)
		make_adapters(m, &m->layers[i]);
	if (m->sharding)
		sharding_root(m->sharding);
	return true;
}

void transformer_free(struct transformer *m)
{
	free(m->layers);
	free(m->decoder);
	free(m->cross);
	free(m->contexts);
	free(m->sizes);
	free(m->matrices);
	sharding_free(m->sharding);
}

void transformer_take_weights(struct transformer *m, const struct transformer *from)
{
	for (size_t i = 0; i < from->count; i++) {
		m->matrices = grow(m->matrices, m->count, &m->matrix_room,
		                   sizeof(*m->matrices));
		m->matrices[m->count] = from->matrices[i];
		m->sizes = grow(m->sizes, m->count, &m->room, sizeof(*m->sizes));
		m->sizes[m->count++] = from->sizes[i];
	}
	m->elements += from->elements;
}
