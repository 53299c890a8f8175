/* decoders.c - what the config.json of some decoders says beside their sizes.
 * Called from: config.c, experts.c. */
#include "config_private.h"

#include <string.h>

/* Is it a number there? */
static bool numbered(struct reader *reader, const char *key)
{
	return has_type(reader, key, "integer") || has_type(reader, key, "real");
}

/* GPT-J and CodeGen: a table of sines and cosines in every layer, in fp32. */
static void refine_gptj(struct reader *reader, struct shape *s)
{
	s->context = whole(reader, "n_positions|max_position_embeddings", 2048);
	s->rotary = whole(reader, "rotary_dim", 64);
	s->buffer = 4 * s->context * s->rotary;
	if (s->rotary > s->head_dim)
		wrong(reader, "'rotary_dim' in '%s' can't be %lld with heads of %lld",
		      reader->name, (long long)s->rotary, (long long)s->head_dim);
}

/* GPT-Neo: in every layer, which position sees which, one byte each. */
static void refine_gpt_neo(struct shape *s)
{
	s->buffer = s->positions * s->positions;
}

static void refine_bloom(struct reader *reader, struct shape *s)
{
	s->context = whole(reader, "seq_length", 2048);
	if (truth(reader, "apply_residual_connection_post_layernorm", false))
		strange(reader, "apply_residual_connection_post_layernorm",
		        "the model adds what its norms give to the stream");
}

static void refine_mpt(struct reader *reader, struct shape *s)
{
	s->context = whole(reader, "max_seq_len", 2048);
	s->clipped = numbered(reader, "attn_config.clip_qkv");
}

static void put_layer(struct layer_set *set, int64_t layer)
{
	if (layer >= 0 && layer < LAYER_SET)
		set->bits[layer / 64] |= UINT64_C(1) << layer % 64;
}

bool listed(struct reader *reader, const char *key, const char *value,
            struct layer_set *set)
{
	struct rows *rows;

	if (!has_type(reader, key, "array"))
		return false;
	rows = db_rows(reader->db,
	               "SELECT key FROM json_each(?1, '$.' || ?2) WHERE CAST(value AS "
	               "TEXT) = ?3",
	               "ttt", reader->text, key, value);
	while (rows_next(rows))
		put_layer(set, rows_number(rows, 0));
	return true;
}

/* All layers, or all but each n-th. */
static void all_but(struct layer_set *set, const struct shape *s, int64_t nth)
{
	for (int64_t i = 0; i < s->layers && i < LAYER_SET; i++)
		if (!nth || (i + 1) % nth)
			put_layer(set, i);
}

/* Layers that see a window of tokens: those that the config lists, or all but each n-th. */
static void read_windows(struct reader *reader, struct shape *s, int64_t otherwise,
                         int64_t nth)
{
	static const char pattern[] = "sliding_window_pattern";

	if (has_type(reader, "sliding_window", "null"))
		return;
	s->window = whole(reader, "sliding_window", otherwise);
	if (!s->window ||
	    listed(reader, "layer_types", "sliding_attention", &s->windowed))
		return;
	all_but(&s->windowed, s, nth ? whole(reader, pattern, nth) : 0);
}

static void refine_gemma3(struct reader *reader, struct shape *s)
{
	read_windows(reader, s, 4096, 6);
	s->logit_cap = numbered(reader, "final_logit_softcapping");
	if (truth(reader, "use_bidirectional_attention", false))
		strange(reader, "use_bidirectional_attention",
		        "the model sees later tokens too");
}

/* Positions are turned in windowed layers alone. */
static void refine_windowed(struct reader *reader, const struct kind *kind,
                            struct shape *s)
{
	struct layer_set none = {{0}};

	read_windows(reader, s, 4096, 4);
	if (!memcmp(&s->windowed, &none, sizeof(none))) {
		s->two_masks = kind->family == FAMILY_COHERE2;
		return;
	}
	for (int64_t i = 0; i < s->layers; i++)
		if (!layer_in(&s->windowed, i))
			put_layer(&s->unturned, i);
}

static void refine_smollm3(struct reader *reader, struct shape *s)
{
	int64_t each = whole(reader, "no_rope_layer_interval", 4);

	if (!listed(reader, "no_rope_layers", "0", &s->unturned))
		for (int64_t i = each - 1; i < s->layers; i += each)
			put_layer(&s->unturned, i);
	if (truth(reader, "use_sliding_window", false))
		strange(reader, "use_sliding_window",
		        "the model has windows in some layers");
}

/* Qwen: of those kinds with experts one gives each layer a window, the other each second one of the
 * first layers. */
static void refine_qwen(struct reader *reader, struct shape *s)
{
	bool experts = s->family == FAMILY_QWEN2_MOE;
	int64_t from = number_of(reader, "max_window_layers", 28);

	if (!truth(reader, "use_sliding_window", false) ||
	    has_type(reader, "sliding_window", "null"))
		return;
	s->window = whole(reader, "sliding_window", 4096);
	if (s->family == FAMILY_QWEN3_MOE) {
		all_but(&s->windowed, s, 0);
		return;
	}
	s->two_masks = true;
	if (listed(reader, "layer_types", "sliding_attention", &s->windowed))
		return;
	for (int64_t i = 0; i < s->layers && i < LAYER_SET; i++)
		if (experts ? i % 2 == 0 && i < from : i >= from)
			put_layer(&s->windowed, i);
}

/* Falcon's three ways to put a layer together. One with ALiBi, or with biases, has its parameters
 * counted; how its step takes memory is not written here. */
static void refine_falcon(struct reader *reader, struct shape *s)
{
	bool newer = truth(reader, "new_decoder_architecture", false);

	s->grouped = newer;
	s->kv_heads = newer ? whole(reader, "num_kv_heads", s->heads)
	              : truth(reader, "multi_query", true) ? 1
	                                                   : s->heads;
	s->parallel = truth(reader, "parallel_attn", true);
	s->norms = s->parallel ? (int)whole(reader, "num_ln_in_parallel_attn",
	                                    newer ? 2 : 1)
	                       : 2;
	s->qkv_bias = s->out_bias = s->mlp_bias = truth(reader, "bias", false);
	s->unwalked = truth(reader, "alibi", false) ? "'alibi' is true"
	              : s->qkv_bias                 ? "'bias' is true"
	              : fraction(reader, "hidden_dropout", 0) > 0
	                      ? "'hidden_dropout' is not 0"
	              : fraction(reader, "attention_dropout", 0) > 0
	                      ? "'attention_dropout' is not 0"
	                      : NULL;
	if (truth(reader, "alibi", false))
		s->rotary = 0;
	if (newer && !s->parallel)
		strange(reader, "parallel_attn", "a newer layer is no parallel one");
	else if (s->norms < 1 || s->norms > 2 ||
	         (!newer && s->parallel && s->norms != 1))
		strange(reader, "num_ln_in_parallel_attn",
		        "a layer has another number of norms");
}

void refine_decoder(struct reader *reader, const struct kind *kind, struct shape *s)
{
	switch (kind->family) {
	case FAMILY_GPTJ:
	case FAMILY_CODEGEN:
		refine_gptj(reader, s);
		break;
	case FAMILY_GPT_NEO:
		refine_gpt_neo(s);
		break;
	case FAMILY_BLOOM:
		refine_bloom(reader, s);
		break;
	case FAMILY_MPT:
		refine_mpt(reader, s);
		break;
	case FAMILY_FALCON:
		refine_falcon(reader, s);
		break;
	case FAMILY_GEMMA3:
		refine_gemma3(reader, s);
		break;
	case FAMILY_OLMO:
		s->clipped = numbered(reader, "clip_qkv");
		break;
	case FAMILY_SMOLLM3:
		refine_smollm3(reader, s);
		break;
	case FAMILY_COHERE2:
	case FAMILY_EXAONE4:
		refine_windowed(reader, kind, s);
		break;
	case FAMILY_QWEN2:
	case FAMILY_QWEN3:
	case FAMILY_QWEN2_MOE:
	case FAMILY_QWEN3_MOE:
		refine_qwen(reader, s);
		break;
	default:
		break;
	}
	if (!strcmp(kind->name, "mistral"))
		read_windows(reader, s, 4096, 0);
	else if (!strcmp(kind->name, "starcoder2") || !strcmp(kind->name, "phi3") ||
	         !strcmp(kind->name, "mixtral"))
		read_windows(reader, s, 0, 0);
}
