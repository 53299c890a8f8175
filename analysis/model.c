/* model.c - the shape of a transformer and the list of its weights. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "options.h"

const char *const role_names[ROLE_COUNT] = {
        [ROLE_EMBEDDING] = "embedding", [ROLE_POSITION] = "positions",
        [ROLE_ATTENTION] = "attention", [ROLE_MLP] = "feed-forward",
        [ROLE_NORM] = "norms",          [ROLE_BIAS] = "biases",
        [ROLE_HEAD] = "head",           [ROLE_ANY] = "parameters",
};

const char *const lora_target_names[LORA_COUNT] = {"q",    "k",  "v",   "o",
                                                   "gate", "up", "down"};

struct named {
	const char *name;
	struct shape shape;
};

/* clang-format off */
#define LLAMA(n, l, d, f, h, k, s, v, c, t) {n, {.layers = l, .hidden = d, .ffn = f, \
	.heads = h, .kv_heads = k, .head_dim = s, .vocab = v, .context = c, .tied = t, \
	.norm = NORM_RMS, .norms = 2, .final_norm = true, .mlp = MLP_GATED, .head = HEAD_LM, \
	.softmax_fp32 = true}},
#define QWEN2(n, l, d, f, h, k, s, v, c, t) {n, {.layers = l, .hidden = d, .ffn = f, \
	.heads = h, .kv_heads = k, .head_dim = s, .vocab = v, .context = c, .tied = t, \
	.norm = NORM_RMS, .norms = 2, .final_norm = true, .mlp = MLP_GATED, .head = HEAD_LM, \
	.softmax_fp32 = true, \
	.qkv_bias = true}},
#define QWEN3(n, l, d, f, h, k, s, v, c, t) {n, {.layers = l, .hidden = d, .ffn = f, \
	.heads = h, .kv_heads = k, .head_dim = s, .vocab = v, .context = c, .tied = t, \
	.norm = NORM_RMS, .norms = 2, .final_norm = true, .mlp = MLP_GATED, .head = HEAD_LM, \
	.softmax_fp32 = true, \
	.head_norm = true}},
#define GEMMA(n, l, d, f, h, k, s, v, c) {n, {.layers = l, .hidden = d, .ffn = f, \
	.heads = h, .kv_heads = k, .head_dim = s, .vocab = v, .context = c, .tied = true, \
	.norm = NORM_RMS_FP32, .norms = 2, .final_norm = true, .mlp = MLP_GATED, \
	.head = HEAD_LM, .softmax_fp32 = true}},
#define PHI3(n, l, d, f, h, v, c) {n, {.layers = l, .hidden = d, .ffn = f, .heads = h, \
	.vocab = v, .context = c, .norm = NORM_RMS, .norms = 2, .final_norm = true, \
	.mlp = MLP_GATED, .head = HEAD_LM, .softmax_fp32 = true, .fused = true}},
#define GPT2(n, l, d, h, c) {n, {.layers = l, .hidden = d, .ffn = 4 * (d), .heads = h, \
	.vocab = 50257, .positions = c, .context = c, .tied = true, .dropout = true, \
	.norm = NORM_LAYER, .norms = 2, .final_norm = true, .mlp = MLP_GELU_NEW, \
	.fused = true, .head = HEAD_LM, .qkv_bias = true, .out_bias = true, .mlp_bias = true}},
#define BERT(n, l, d, h, v, p, t) {n, {.layers = l, .hidden = d, .ffn = 4 * (d), \
	.heads = h, .vocab = v, .positions = p, .types = t, .context = 512, .dropout = true, \
	.norm = NORM_LAYER, .norms = 2, .embedding_norm = true, .mlp = MLP_GELU, \
	.head = HEAD_POOLER, .qkv_bias = true, .out_bias = true, .mlp_bias = true}},
#define VIT(n, l, d, h, p) {n, {.layers = l, .hidden = d, .ffn = 4 * (d), .heads = h, \
	.positions = 224 / (p) * (224 / (p)) + 1, .context = 224 / (p) * (224 / (p)) + 1, \
	.patch = 3 * (p) * (p), .classes = 1000, .norm = NORM_LAYER, .norms = 2, \
	.fused = true, .final_norm = true, .mlp = MLP_GELU, .head = HEAD_CLASSES, .qkv_bias = true, \
	.out_bias = true, .mlp_bias = true}},
#define NEOX(n, l, d, h, v) {n, {.layers = l, .hidden = d, .ffn = 4 * (d), .heads = h, \
	.fused = true, .parallel = true, .softmax_fp32 = true, .rotary = (d) / (h) / 4, \
	.vocab = v, .context = 2048, .norm = NORM_LAYER, .norms = 2, .final_norm = true, \
	.mlp = MLP_GELU, .head = HEAD_LM, .qkv_bias = true, .out_bias = true, .mlp_bias = true}},
#define OPT(n, l, d, h) {n, {.layers = l, .hidden = d, .ffn = 4 * (d), .heads = h, \
	.softmax_fp32 = true, .vocab = 50272, .positions = 2050, .context = 2048, .tied = true, .dropout = true, \
	.norm = NORM_LAYER, .norms = 2, .final_norm = true, .mlp = MLP_RELU, .head = HEAD_LM, \
	.qkv_bias = true, .out_bias = true, .mlp_bias = true}},
/* clang-format on */
static const struct named models[] = {
#include "models.def"
};
enum { MODELS = sizeof(models) / sizeof(models[0]) };

const char *model_name(int index)
{
	return index < MODELS ? models[index].name : NULL;
}

static void complete(struct shape *shape)
{
	if (!shape->kv_heads)
		shape->kv_heads = shape->heads;
	if (!shape->head_dim && shape->heads)
		shape->head_dim = shape->hidden / shape->heads;
	if (shape->norm == NORM_RMS || shape->norm == NORM_RMS_FP32)
		shape->rotary = shape->head_dim;
}

/* The three closest names: what begins alike is closer than what is spelled alike. */
static int distance(const char *typed, const char *name)
{
	int common = 0;
	while (typed[common] && typed[common] == name[common])
		common++;
	return word_distance(typed, name) * 2 - common;
}

static void find_nearest(const char *name, char *nearest, size_t size)
{
	bool taken[MODELS] = {false};
	size_t length = 0;

	nearest[0] = 0;
	for (int n = 0; n < 3; n++) {
		int best = -1, least = 0;
		for (int i = 0; i < MODELS; i++) {
			int d = distance(name, models[i].name);
			if (!taken[i] && (best < 0 || d < least))
				best = i, least = d;
		}
		if (best < 0 || least > (int)strlen(name))
			return;
		taken[best] = true;
		if (length < size)
			length += (size_t)snprintf(nearest + length, size - length,
			                           "%s%s", n ? ", " : "",
			                           models[best].name);
	}
}

bool model_find(const char *name, struct shape *shape, char *nearest, size_t size)
{
	char small[64];
	size_t length = 0;

	for (; name[length] && length < sizeof(small) - 1; length++) {
		char c = name[length];
		small[length] = c >= 'A' && c <= 'Z'   ? (char)(c + 32)
		                : c == '_' || c == ' ' ? '-'
		                                       : c;
	}
	small[length] = 0;
	for (int i = 0; i < MODELS; i++) {
		if (strcmp(small, models[i].name) != 0)
			continue;
		*shape = models[i].shape;
		complete(shape);
		return true;
	}
	find_nearest(small, nearest, size);
	return false;
}

void shape_plain(struct shape *shape)
{
	memset(shape, 0, sizeof(*shape));
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
	} sizes[] = {
	        {"layers", s->layers, 1, 24},     {"hidden", s->hidden, 1, 31},
	        {"ffn", s->ffn, 1, 31},           {"heads", s->heads, 1, 24},
	        {"kv-heads", s->kv_heads, 1, 24}, {"head-dim", s->head_dim, 1, 24},
	        {"vocab", s->vocab, 0, 31},       {"positions", s->positions, 0, 31},
	        {"types", s->types, 0, 31}};
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
	else
		return 0;
	return -1;
}

int64_t weight_size(const struct weight *weight)
{
	return weight->columns ? weight->rows * weight->columns : weight->rows;
}

int64_t weight_elements(const struct weight *weight)
{
	return weight_size(weight) * weight->copies;
}

int model_add(struct model *model, struct weight weight)
{
	int64_t size, columns = weight.columns ? weight.columns : 1;

	if (!weight.rows || !weight.copies)
		return 0;
	if (__builtin_mul_overflow(weight.rows, columns, &size) ||
	    __builtin_mul_overflow(size, weight.copies, &size) ||
	    __builtin_add_overflow(size, model->parameters, &size))
		return -1;
	model->parameters = size;
	model->weights = grow(model->weights, model->count, &model->room,
	                      sizeof(*model->weights));
	model->weights[model->count++] = weight;
	return 0;
}

/* One matrix in every layer, with its bias. */
static int linear(struct model *model, enum role role, int target, int64_t in,
                  int64_t out, int64_t copies, bool bias)
{
	return model_add(model, (struct weight){role, out, in, copies, target}) |
	       model_add(model,
	                 (struct weight){ROLE_BIAS, bias ? out : 0, 0, copies, -1});
}

static int table(struct model *model, enum role role, int64_t rows, int64_t columns)
{
	return model_add(model, (struct weight){role, rows, columns, 1, -1});
}

static int norms(struct model *model, int64_t length, int64_t copies)
{
	enum norm norm = model->shape.norm;
	if (norm == NORM_LAYER)
		copies *= 2; /* weight and bias */
	return model_add(model,
	                 (struct weight){ROLE_NORM, norm ? length : 0, 0, copies, -1});
}

static int add_head(struct model *model, const struct shape *s)
{
	if (s->head == HEAD_LM && !s->tied)
		return linear(model, ROLE_HEAD, -1, s->hidden, s->vocab, 1,
		              s->head_bias);
	if (s->head == HEAD_POOLER)
		return linear(model, ROLE_HEAD, -1, s->hidden, s->hidden, 1, true);
	if (s->head == HEAD_CLASSES)
		return linear(model, ROLE_HEAD, -1, s->hidden, s->classes, 1, true);
	return 0;
}

static int add_layers(struct model *model, const struct shape *s)
{
	int64_t inner = s->heads * s->head_dim, keys = s->kv_heads * s->head_dim;
	int64_t d = s->hidden, f = s->ffn, l = s->layers;
	int bad = 0;

	bad |= linear(model, ROLE_ATTENTION, LORA_Q, d, inner, l, s->qkv_bias);
	bad |= linear(model, ROLE_ATTENTION, LORA_K, d, keys, l, s->qkv_bias);
	bad |= linear(model, ROLE_ATTENTION, LORA_V, d, keys, l, s->qkv_bias);
	bad |= linear(model, ROLE_ATTENTION, LORA_O, inner, d, l, s->out_bias);
	if (s->head_norm)
		bad |= norms(model, s->head_dim, 2 * l);
	if (s->mlp == MLP_GATED)
		bad |= linear(model, ROLE_MLP, LORA_GATE, d, f, l, s->mlp_bias);
	bad |= linear(model, ROLE_MLP, LORA_UP, d, f, l, s->mlp_bias);
	bad |= linear(model, ROLE_MLP, LORA_DOWN, f, d, l, s->mlp_bias);
	return bad | norms(model, d, s->norms * l);
}

int model_from_shape(struct model *model, const struct shape *shape)
{
	const struct shape *s = &model->shape;
	int bad = 0;

	model->shape = *shape;
	model->known = true;
	bad |= table(model, ROLE_EMBEDDING, s->vocab, s->hidden);
	bad |= table(model, ROLE_POSITION, s->positions, s->hidden);
	bad |= table(model, ROLE_POSITION, s->types, s->hidden);
	if (s->patch) {
		bad |= linear(model, ROLE_EMBEDDING, -1, s->patch, s->hidden, 1, true);
		bad |= model_add(model,
		                 (struct weight){ROLE_POSITION, s->hidden, 0, 1, -1});
	}
	if (s->embedding_norm)
		bad |= norms(model, s->hidden, 1);
	bad |= add_layers(model, s);
	if (s->final_norm)
		bad |= norms(model, s->hidden, 1);
	return bad | add_head(model, s) ? -1 : 0;
}

void model_free(struct model *model)
{
	free(model->weights);
	memset(model, 0, sizeof(*model));
}
