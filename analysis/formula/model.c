/* model.c - the shape of a transformer and the list of its weights.
 * Called from: formula/, measure/, plan/, recognise/, reconcile/, trace/, walk/. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experts.h"
#include "heap.h"
#include "mamba.h"
#include "stages.h"

const char *const role_names[ROLE_COUNT] = {
        [ROLE_EMBEDDING] = "embedding", [ROLE_POSITION] = "positions",
        [ROLE_ATTENTION] = "attention", [ROLE_MLP] = "feed-forward",
        [ROLE_NORM] = "norms",          [ROLE_BIAS] = "biases",
        [ROLE_HEAD] = "head",           [ROLE_EXPERTS] = "experts",
        [ROLE_ROUTER] = "router",       [ROLE_CONVOLUTION] = "convolutions",
        [ROLE_ANY] = "parameters",
};

const char *const lora_target_names[LORA_COUNT] = {"q",    "k",  "v",   "o",
                                                   "gate", "up", "down"};

static const struct shape families[FAMILY_COUNT] = {
#define FAMILY(id, ...) [FAMILY_##id] = {.family = FAMILY_##id, __VA_ARGS__},
#include "families.def"
#undef FAMILY
};

const struct shape *family_shape(enum family family)
{
	return &families[family];
}

bool shape_has_words(const struct shape *shape)
{
	return shape->head == HEAD_LM || shape->head == HEAD_MASKED ||
	       shape->head == HEAD_SEQ2SEQ;
}

int64_t shape_embedding(const struct shape *shape)
{
	return shape->embedding ? shape->embedding : shape->hidden;
}

int64_t shape_own_layers(const struct shape *shape)
{
	return shape->shared ? shape->shared : shape->layers;
}

bool shape_is_fixed(const struct shape *shape)
{
	return shape->patch || shape->mel || shape->stages.count;
}

void shape_of_pictures(const struct shape *shape, struct shape *pictures)
{
	*pictures = families[FAMILY_CLIP];
	pictures->layers = shape->pictures.layers;
	pictures->hidden = shape->pictures.hidden;
	pictures->ffn = shape->pictures.ffn;
	pictures->heads = pictures->kv_heads = shape->pictures.heads;
	pictures->head_dim = pictures->hidden / pictures->heads;
	pictures->positions = pictures->context = shape->pictures.positions;
	pictures->patch = shape->pictures.patch;
	pictures->pixels = shape->pictures.pixels;
	pictures->mlp = shape->pictures.mlp;
	pictures->attention_dropout = shape->pictures.attention_dropout;
	pictures->pictures.projection = shape->pictures.projection;
	pictures->embedding_norm = true;
	pictures->final_norm = false; /* it stands in the head, for one token of each */
}

int64_t shape_all_layers(const struct shape *shape)
{
	return shape->layers + shape->decoder_layers + shape->pictures.layers;
}

void shape_plain(struct shape *shape)
{
	memset(shape, 0, sizeof(*shape));
	shape->family = FAMILY_COUNT;
	shape->mlp = MLP_GELU;
	shape->head = HEAD_LM;
	shape->context = 2048;
}

int shape_check(const struct shape *s, char *why, size_t size)
{
	const struct {
		const char *name;
		int64_t value, least;
		int bits; /* so that no product of two sizes overflows */
	} sizes[] = {{"layers", s->layers, 1, 24},
	             {"hidden", s->hidden, 1, 31},
	             {"ffn", s->ffn, 1, 31},
	             {"heads", s->heads, 1, 24},
	             {"kv-heads", s->kv_heads, 1, 24},
	             {"head-dim", s->head_dim, 1, 24},
	             {"vocab", s->vocab, 0, 31},
	             {"positions", s->positions, 0, 31},
	             {"types", s->types, 0, 31},
	             {"embedding", s->embedding, 0, 31},
	             {"classes", s->classes, 0, 24},
	             {"relative positions", s->relative.rows, 0, 31},
	             {"decoder layers", s->decoder_layers, 0, 24},
	             {"buckets", s->buckets, 0, 24},
	             {"pixels", s->pixels, 0, 31},
	             {"channels", s->mel, 0, 24},
	             {"target positions", s->target_positions, 0, 31},
	             {"pixels in a patch", s->patch, 0, 31},
	             {"shared layers", s->shared, 0, 24},
	             {"experts", s->experts.count, 0, 24},
	             {"experts for a token", s->experts.chosen, 0, 24},
	             {"expert width", s->experts.width, 0, 31},
	             {"shared expert width", s->experts.shared, 0, 31},
	             {"query rank", s->latent.queries, 0, 31},
	             {"key-value rank", s->latent.keys, 0, 31},
	             {"value width", s->latent.value, 0, 24},
	             {"states", s->state.size, 0, 24},
	             {"groups of states", s->state.groups, 0, 24},
	             {"tokens of a convolution", s->state.kernel, 0, 24}};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (sizes[i].value >= sizes[i].least &&
		    sizes[i].value < INT64_C(1) << sizes[i].bits)
			continue;
		snprintf(why, size, "a model can't have %s = %lld", sizes[i].name,
		         (long long)sizes[i].value);
		return -1;
	}
	if (s->kv_heads > s->heads)
		snprintf(why, size, "%lld key-value heads are more than %lld heads",
		         (long long)s->kv_heads, (long long)s->heads);
	else if (s->heads % s->kv_heads)
		snprintf(why, size,
		         "%lld heads can't share %lld key-value heads evenly",
		         (long long)s->heads, (long long)s->kv_heads);
	else if (s->experts.chosen > s->experts.count)
		snprintf(why, size, "a token can't have %lld of %lld experts",
		         (long long)s->experts.chosen, (long long)s->experts.count);
	else
		return 0;
	return -1;
}

bool weight_is_copied(const struct model *model, const struct weight *weight)
{
	const struct shape *shape = &model->shape;

	if (weight->bits) /* unpacked anew for each use */
		return false;
	return weight->role == ROLE_ATTENTION || weight->role == ROLE_MLP ||
	       weight->role == ROLE_ANY || weight->role == ROLE_HEAD ||
	       weight->role == ROLE_ROUTER || weight->role == ROLE_CONVOLUTION ||
	       (weight->role == ROLE_EXPERTS && !experts_are_grouped(shape)) ||
	       (weight->role == ROLE_EMBEDDING && shape->tied &&
	        shape_has_words(shape));
}

static int linear(struct model *model, enum role role, int target, int64_t in,
                  int64_t out, int64_t copies, bool bias)
{
	return model_linear(model, role, target, in, out, copies, bias);
}

static int table(struct model *model, enum role role, int64_t rows, int64_t columns)
{
	return model_add(model, (struct weight){.role = role,
	                                        .rows = rows,
	                                        .columns = columns,
	                                        .copies = 1,
	                                        .target = -1});
}

static int norms(struct model *model, int64_t length, int64_t copies)
{
	enum norm norm = model->shape.norm;
	if (norm == NORM_LAYER || norm == NORM_ONE_PLUS)
		copies *= 2; /* weight and bias */
	if (norm == NORM_BARE)
		copies = 0;
	return model_add(model, (struct weight){.role = ROLE_NORM,
	                                        .rows = norm ? length : 0,
	                                        .copies = copies,
	                                        .target = -1});
}

static int add_head(struct model *model, const struct shape *s)
{
	int64_t wide = shape_embedding(s);

	if (s->head == HEAD_MASKED)
		return linear(model, ROLE_HEAD, -1, s->hidden, wide, 1, true) |
		       norms(model, wide, 1) |
		       model_add(model, (struct weight){.role = ROLE_BIAS,
		                                        .rows = s->vocab,
		                                        .copies = 1,
		                                        .target = -1});
	if (s->head == HEAD_SEQUENCE &&
	    s->encoder) /* a pooler, or a matmul in its place */
		return linear(model, ROLE_HEAD, -1, s->hidden, s->hidden, 1, true) |
		       linear(model, ROLE_HEAD, -1, s->hidden, s->classes, 1, true);
	if (s->head == HEAD_SEQUENCE)
		return linear(model, ROLE_HEAD, -1, s->hidden, s->classes, 1, false);
	if (s->head == HEAD_LM && !s->tied)
		return linear(model, ROLE_HEAD, -1, s->hidden, s->vocab, 1,
		              s->head_bias);
	if (s->head == HEAD_LM && s->head_bias)
		return model_add(model, (struct weight){.role = ROLE_BIAS,
		                                        .rows = s->vocab,
		                                        .copies = 1,
		                                        .target = -1});
	if (s->head == HEAD_CONTRAST)
		return norms(model, s->hidden, s->patch > 0) |
		       linear(model, ROLE_HEAD, -1, s->hidden, s->pictures.projection,
		              1, false);
	if (s->head == HEAD_CLASSES || s->head == HEAD_TOKENS)
		return linear(model, ROLE_HEAD, -1, s->hidden, s->classes, 1, true);
	return 0;
}

/* The matmuls of attention. */
static int add_attention(struct model *model, const struct shape *s)
{
	int64_t inner = s->heads * s->head_dim, keys = s->kv_heads * s->head_dim;
	int64_t d = s->hidden, l = shape_own_layers(s);
	int bad = 0;

	bad |= linear(model, ROLE_ATTENTION, LORA_Q, d, inner, l, s->qkv_bias);
	bad |= linear(model, ROLE_ATTENTION, LORA_K, d, keys, l,
	              s->qkv_bias && !s->no_key_bias);
	bad |= linear(model, ROLE_ATTENTION, LORA_V, d, keys, l, s->qkv_bias);
	bad |= linear(model, ROLE_ATTENTION, LORA_O, inner, d, l, s->out_bias);
	if (s->relative.rows && !s->relative.shared) {
		int64_t own = s->relative.to_position + s->relative.from_position;
		bad |= linear(model, ROLE_ATTENTION, -1, d, inner, own * l, true);
	}
	if (s->head_norm && s->whole_norm)
		bad |= norms(model, inner, l) | norms(model, keys, l);
	else if (s->head_norm)
		bad |= norms(model, s->head_dim, 2 * l);
	return bad;
}

static int add_layers(struct model *model, const struct shape *s)
{
	int64_t d = s->hidden, l = shape_own_layers(s);
	int bad;

	if (s->state.size)
		return mamba_add(model, s);
	bad = s->latent.keys ? experts_add_latent(model, s) : add_attention(model, s);

	bad |= model_feed_forward(model, s, s->ffn, l - s->experts.sparse);
	bad |= experts_add(model, s);
	return bad | norms(model, d, s->norms * l);
}

/* The second stack: layers that attend to the first one's result too, and tables and norms of its
 * own. */
static int add_decoder(struct model *model, const struct shape *s)
{
	struct shape second = *s;
	int64_t inner = s->heads * s->head_dim, d = s->hidden, l = s->decoder_layers;
	int bad;

	second.layers = l;
	bad = add_layers(model, &second);
	bad |= linear(model, ROLE_ATTENTION, LORA_Q, d, inner, l, s->qkv_bias);
	bad |= linear(model, ROLE_ATTENTION, LORA_K, d, inner, l,
	              s->qkv_bias && !s->no_key_bias);
	bad |= linear(model, ROLE_ATTENTION, LORA_V, d, inner, l, s->qkv_bias);
	bad |= linear(model, ROLE_ATTENTION, LORA_O, inner, d, l, s->out_bias);
	bad |= norms(model, d, l) | table(model, ROLE_POSITION, s->target_positions, d);
	bad |= norms(model, d, s->embedding_norm + s->final_norm);
	return bad | table(model, ROLE_POSITION, 2 * s->buckets, s->heads);
}

static int add_embedding(struct model *model, const struct shape *s)
{
	int64_t wide = shape_embedding(s);
	int bad = table(model, ROLE_EMBEDDING, s->vocab, wide);

	bad |= model_add(model, (struct weight){.role = ROLE_POSITION,
	                                        .rows = s->positions,
	                                        .columns = wide,
	                                        .copies = 1,
	                                        .target = -1,
	                                        .frozen = s->mel > 0});
	if (s->mel) /* two convolutions over three moments */
		bad |= linear(model, ROLE_EMBEDDING, -1, 3 * s->mel, wide, 1, true) |
		       linear(model, ROLE_EMBEDDING, -1, 3 * wide, wide, 1, true);
	bad |= table(model, ROLE_POSITION, s->types, wide);
	if (s->embedding_norm)
		bad |= norms(model,
		             s->projection == PROJECT_BEFORE_NORM ? s->hidden : wide,
		             1);
	if (s->projection)
		bad |= linear(model, ROLE_EMBEDDING, -1, wide, s->hidden, 1,
		              s->projection == PROJECT_AFTER_NORM);
	bad |= table(model, ROLE_POSITION, s->relative.rows, s->hidden);
	if (s->relative.norm)
		bad |= norms(model, s->hidden, 1);
	return bad;
}

/* The modules of an image model of stages. */
static int add_stages(struct model *model, const struct shape *s)
{
	struct units units;
	struct weight weights[UNIT_WEIGHTS];
	int bad = 0;

	units_of(s, &units);
	for (size_t i = 0; i < units.count; i++)
		for (int k = unit_weights(&units.list[i], weights); k-- > 0;)
			bad |= model_add(model, weights[k]);
	free(units.list);
	return bad;
}

/* The weights of one tower, its head aside. */
static int add_tower(struct model *model, const struct shape *s)
{
	int bad = add_embedding(model, s);

	if (s->patch) {
		bad |= linear(model, ROLE_EMBEDDING, -1, s->patch, s->hidden, 1,
		              s->family != FAMILY_CLIP);
		bad |= model_add(model, (struct weight){.role = ROLE_POSITION,
		                                        .rows = s->hidden,
		                                        .copies = 1,
		                                        .target = -1});
	}
	bad |= add_layers(model, s);
	if (s->final_norm)
		bad |= norms(model, s->hidden, 1);
	return bad;
}

/* The tower of pictures, and what the similarities are scaled by. */
static int add_pictures(struct model *model, const struct shape *s)
{
	struct shape pictures;

	shape_of_pictures(s, &pictures);
	return add_tower(model, &pictures) | add_head(model, &pictures) |
	       model_add(model, (struct weight){.role = ROLE_BIAS,
	                                        .rows = 1,
	                                        .copies = 1,
	                                        .target = -1});
}

int model_from_shape(struct model *model, const struct shape *shape)
{
	const struct shape *s = &model->shape;
	int bad = 0;

	model->shape = *shape;
	model->known = !shape->state.size;
	if (s->stages.count)
		return add_stages(model, s) | add_head(model, s) ? -1 : 0;
	bad |= add_tower(model, s);
	if (s->decoder_layers)
		bad |= add_decoder(model, s);
	if (s->pictures.layers)
		bad |= add_pictures(model, s);
	return bad | add_head(model, s) ? -1 : 0;
}

int64_t model_trained(const struct model *model)
{
	int64_t elements = model->parameters;
	for (size_t i = 0; i < model->count; i++)
		if (model->weights[i].frozen)
			elements -= weight_elements(&model->weights[i]);
	return elements;
}

void model_free(struct model *model)
{
	free(model->weights);
	memset(model, 0, sizeof(*model));
}
