/* experts.c - models with experts: what their config.json says, and their weights.
 * Keys, and what they are where they are not given: models/NAME/configuration_NAME.py of
 * transformers 5.23; the weights: modeling_NAME.py there.
 * Called from: formula/, walk/. */
#include "experts.h"

#include <string.h>

#include "config_private.h"

/* ---- the configuration ------------------------------------------------------------------- */

/* Where the key is not there at all; null is something else. */
static bool is_missing(struct reader *reader, const char *key)
{
	struct rows *rows = look(reader, key);
	bool missing = !rows || !rows_text(rows, 0);

	if (rows)
		rows_free(rows);
	return missing;
}

/* A whole number that may be 0. */
static int64_t count_of(struct reader *reader, const char *key, int64_t otherwise)
{
	return has_type(reader, key, "integer") && number_of(reader, key, 0) == 0
	               ? 0
	               : whole(reader, key, otherwise);
}

static void put_into(struct layer_set *set, int64_t layer)
{
	set->bits[layer / 64] |= UINT64_C(1) << layer % 64;
}

static void put(struct shape *s, int64_t layer)
{
	if (layer >= 0 && layer < s->layers && layer < LAYER_SET)
		put_into(&s->experts.layers, layer);
}

static void leave_out(struct shape *s, int64_t layer)
{
	if (layer >= 0 && layer < LAYER_SET)
		s->experts.layers.bits[layer / 64] &= ~(UINT64_C(1) << layer % 64);
}

/* From one layer on, each n-th. */
static void put_each(struct shape *s, int64_t from, int64_t nth)
{
	for (int64_t i = from; nth > 0 && i < s->layers && i < LAYER_SET; i += nth)
		put(s, i);
}

/* Does something for each layer that the config lists by its number; false: it has no such list. */
static bool each_listed(struct reader *reader, const char *key, struct shape *s,
                        void (*act)(struct shape *, int64_t))
{
	struct rows *rows;

	if (!has_type(reader, key, "array"))
		return false;
	rows = db_rows(
	        reader->db,
	        "SELECT value FROM json_each(?1, '$.' || ?2) WHERE type = 'integer'",
	        "tt", reader->text, key);
	while (rows_next(rows))
		act(s, rows_number(rows, 0));
	return true;
}

static void read_mixtral(struct reader *reader, struct shape *s)
{
	s->experts.count = whole(reader, "num_local_experts|num_experts", 8);
	s->experts.chosen = whole(reader, "num_experts_per_tok", 2);
	s->experts.width = s->ffn;
	s->experts.shares = true;
	put_each(s, 0, 1);
	if (fraction(reader, "router_jitter_noise", 0) > 0)
		strange(reader, "router_jitter_noise",
		        "there is noise before the router");
}

static void read_qwen(struct reader *reader, struct shape *s)
{
	bool third = s->family == FAMILY_QWEN3_MOE;
	const char *count = has_type(reader, "num_experts", "null") ||
	                                    is_missing(reader, "num_experts")
	                            ? "num_local_experts"
	                            : "num_experts";
	int64_t each = whole(reader, "decoder_sparse_step", 1);

	s->experts.count = count_of(reader, count, third ? 128 : 60);
	s->experts.chosen = whole(reader, "num_experts_per_tok", third ? 8 : 4);
	s->experts.width = whole(reader, "moe_intermediate_size", third ? 768 : 1408);
	s->experts.shares = truth(reader, "norm_topk_prob", false);
	if (third) {
		s->qkv_bias = s->out_bias = truth(reader, "attention_bias", false);
	} else {
		s->experts.shared =
		        count_of(reader, "shared_expert_intermediate_size", 5632);
		s->experts.shared_gate = true;
		s->qkv_bias = truth(reader, "qkv_bias", true);
	}
	if (s->experts.count)
		put_each(s, each - 1, each);
	else
		s->experts.chosen = 0;
	each_listed(reader, "mlp_only_layers", s, leave_out);
}

/* Heads of two parts, of which one is turned; the values' are of another width. */
static void read_deepseek(struct reader *reader, struct shape *s)
{
	bool third = s->family == FAMILY_DEEPSEEK_V3;
	const char *count = is_missing(reader, "n_routed_experts")
	                            ? third ? "num_local_experts" : "num_experts"
	                            : "n_routed_experts";
	int64_t beside = count_of(reader, "n_shared_experts", third ? 1 : 2);

	s->experts.count = whole(reader, count, third ? 256 : 64);
	s->experts.chosen = whole(reader, "num_experts_per_tok", third ? 8 : 0);
	s->experts.width = whole(reader, "moe_intermediate_size", third ? 2048 : 1407);
	if (beside > s->experts.count)
		wrong(reader, "'n_shared_experts' in '%s' can't be %lld", reader->name,
		      (long long)beside);
	else
		s->experts.shared = beside * s->experts.width;
	put_each(s, count_of(reader, "first_k_dense_replace", third ? 3 : 0), 1);
	s->latent.keys = whole(reader, "kv_lora_rank", 512);
	s->latent.queries = has_type(reader, "q_lora_rank", "null")
	                            ? 0
	                            : whole(reader, "q_lora_rank", 1536);
	s->latent.value = whole(reader, "v_head_dim", 128);
	s->rotary = whole(reader, "qk_rope_head_dim", 64);
	s->head_dim = whole(reader, "qk_nope_head_dim", 128) + s->rotary;
	s->kv_heads = s->heads; /* each has keys of its own */
	s->latent.halves = third && !truth(reader, "rope_interleave", true);
	s->experts.shares = third && truth(reader, "norm_topk_prob", true);
	s->experts.groups =
	        third ? count_of(reader, "n_group", 8) : count_of(reader, "n_group", 0);
	s->out_bias = truth(reader, "attention_bias", false);
	s->mlp_bias = !third && truth(reader, "mlp_bias", false);
}

/* Layers without positions, by default each fourth; the others see a window. */
static void read_llama4_layers(struct reader *reader, struct shape *s)
{
	int64_t each = whole(reader, "no_rope_layer_interval", 4);

	s->window = whole(reader, "attention_chunk_size", 8192);
	s->experts.plain_heads = !truth(reader, "use_qk_norm", true);
	s->experts.warm = truth(reader, "attn_temperature_tuning", true);
	if (has_type(reader, "no_rope_layers[0]", "integer"))
		listed(reader, "no_rope_layers", "0", &s->unturned);
	else
		for (int64_t i = each - 1; each > 0 && i < s->layers && i < LAYER_SET;
		     i += each)
			put_into(&s->unturned, i);
	if (listed(reader, "layer_types", "chunked_attention", &s->windowed))
		return;
	for (int64_t i = 0; i < s->layers && i < LAYER_SET; i++)
		if (!layer_in(&s->unturned, i))
			put_into(&s->windowed, i);
}

static void read_llama4(struct reader *reader, struct shape *s)
{
	int64_t each = whole(reader, "interleave_moe_layer_step", 1);

	s->experts.count = whole(reader, "num_local_experts", 16);
	s->experts.chosen = whole(reader, "num_experts_per_tok", 1);
	s->experts.width = s->experts.shared = s->ffn;
	s->ffn = whole(reader, "intermediate_size_mlp", 16384);
	s->qkv_bias = s->out_bias = truth(reader, "attention_bias", false);
	read_llama4_layers(reader, s);
	if (!each_listed(reader, "moe_layers", s, put))
		put_each(s, each - 1, each);
}

/* What these classes have where their config is silent. */
static void read_defaults(struct reader *reader, struct shape *s)
{
	static const int64_t keys[FAMILY_COUNT] = {[FAMILY_MIXTRAL] = 8,
	                                           [FAMILY_QWEN2_MOE] = 16,
	                                           [FAMILY_QWEN3_MOE] = 4,
	                                           [FAMILY_LLAMA4] = 8};

	if (keys[s->family] && is_missing(reader, "num_key_value_heads"))
		s->kv_heads = keys[s->family];
	if (s->family == FAMILY_LLAMA4 && is_missing(reader, "head_dim"))
		s->head_dim = s->rotary = 128;
}

void refine_experts(struct reader *reader, struct shape *s)
{
	switch (s->family) {
	case FAMILY_MIXTRAL:
		read_mixtral(reader, s);
		break;
	case FAMILY_QWEN2_MOE:
	case FAMILY_QWEN3_MOE:
		read_qwen(reader, s);
		break;
	case FAMILY_DEEPSEEK_V2:
	case FAMILY_DEEPSEEK_V3:
		read_deepseek(reader, s);
		break;
	case FAMILY_LLAMA4:
		read_llama4(reader, s);
		break;
	default:
		return;
	}
	read_defaults(reader, s);
	if (s->layers > LAYER_SET)
		wrong(reader,
		      "'%s' has %lld layers; with experts no more than %d are "
		      "understood",
		      reader->name, (long long)s->layers, LAYER_SET);
	for (int64_t i = 0; i < LAYER_SET; i++)
		s->experts.sparse += layer_in(&s->experts.layers, i);
	s->experts.aux_loss = truth(reader, "output_router_logits", false);
}

/* ---- the weights ------------------------------------------------------------------------- */

bool experts_are_grouped(const struct shape *s)
{
	return s->family != FAMILY_LLAMA4;
}

static int stack(struct model *model, int64_t in, int64_t out)
{
	const struct shape *s = &model->shape;

	return model_add(model, (struct weight){.role = ROLE_EXPERTS,
	                                        .rows = out,
	                                        .columns = in,
	                                        .stacked = s->experts.count,
	                                        .copies = s->experts.sparse,
	                                        .target = -1});
}

int experts_add(struct model *model, const struct shape *s)
{
	int64_t sparse = s->experts.sparse, width = s->experts.width;
	int bad = 0;

	if (!sparse)
		return 0;
	bad |= model_linear(model, ROLE_ROUTER, -1, s->hidden, s->experts.count, sparse,
	                    false);
	bad |= stack(model, s->hidden, 2 * width) | stack(model, width, s->hidden);
	if (s->experts.shared)
		bad |= model_feed_forward(model, s, s->experts.shared, sparse);
	if (s->experts.shared_gate)
		bad |= model_linear(model, ROLE_MLP, -1, s->hidden, 1, sparse, false);
	return bad;
}

static int norm(struct model *model, int64_t length)
{
	return model_add(model, (struct weight){.role = ROLE_NORM,
	                                        .rows = length,
	                                        .copies = model->shape.layers,
	                                        .target = -1});
}

int experts_add_latent(struct model *model, const struct shape *s)
{
	int64_t l = s->layers, d = s->hidden, queries = s->latent.queries,
	        keys = s->latent.keys, heads = s->heads;
	int64_t plain = s->head_dim - s->rotary;
	int bad = 0;

	if (queries) {
		bad |= model_linear(model, ROLE_ATTENTION, -1, d, queries, l,
		                    s->out_bias);
		bad |= norm(model, queries);
		bad |= model_linear(model, ROLE_ATTENTION, -1, queries,
		                    heads * s->head_dim, l, false);
	} else {
		bad |= model_linear(model, ROLE_ATTENTION, LORA_Q, d,
		                    heads * s->head_dim, l, false);
	}
	bad |= model_linear(model, ROLE_ATTENTION, -1, d, keys + s->rotary, l,
	                    s->out_bias);
	bad |= norm(model, keys);
	bad |= model_linear(model, ROLE_ATTENTION, -1, keys,
	                    heads * (plain + s->latent.value), l, false);
	return bad | model_linear(model, ROLE_ATTENTION, LORA_O,
	                          heads * s->latent.value, d, l, s->out_bias);
}
