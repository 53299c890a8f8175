/* decoders.c - what the config.json of some decoders says beside their sizes.
 * Called from: config.c. */
#include "config_private.h"

/* GPT-J and CodeGen: a table of sines and cosines in every layer, in fp32. */
static void refine_gptj(struct reader *reader, struct shape *s)
{
	s->context = whole(reader, "n_positions|max_position_embeddings", 2048);
	s->rotary = whole(reader, "rotary_dim", 64);
	s->buffer = 4 * s->context * s->rotary;
	s->dropout = fraction(reader, "resid_pdrop", 0) > 0;
	s->attention_dropout = fraction(reader, "attn_pdrop", 0) > 0;
	if (s->rotary > s->head_dim)
		wrong(reader, "'rotary_dim' in '%s' can't be %lld with heads of %lld",
		      reader->name, (long long)s->rotary, (long long)s->head_dim);
}

/* GPT-Neo: in every layer, which position sees which, one byte each. */
static void refine_gpt_neo(struct reader *reader, struct shape *s)
{
	s->buffer = s->positions * s->positions;
	s->dropout = fraction(reader, "resid_dropout", 0) > 0;
	s->attention_dropout = fraction(reader, "attention_dropout", 0) > 0;
}

static void refine_bloom(struct reader *reader, struct shape *s)
{
	s->context = whole(reader, "seq_length", 2048);
	s->dropout = fraction(reader, "hidden_dropout", 0) > 0;
	s->attention_dropout = fraction(reader, "attention_dropout", 0) > 0;
	if (truth(reader, "apply_residual_connection_post_layernorm", false))
		wrong(reader,
		      "'%s' adds what its norms give to the stream, which is not "
		      "understood",
		      reader->name);
}

static void refine_mpt(struct reader *reader, struct shape *s)
{
	s->context = whole(reader, "max_seq_len", 2048);
	s->clipped = has_type(reader, "attn_config.clip_qkv", "integer") ||
	             has_type(reader, "attn_config.clip_qkv", "real");
}

void refine_decoder(struct reader *reader, const struct kind *kind, struct shape *s)
{
	switch (kind->family) {
	case FAMILY_GPTJ:
	case FAMILY_CODEGEN:
		refine_gptj(reader, s);
		break;
	case FAMILY_GPT_NEO:
		refine_gpt_neo(reader, s);
		break;
	case FAMILY_BLOOM:
		refine_bloom(reader, s);
		break;
	case FAMILY_MPT:
		refine_mpt(reader, s);
		break;
	default:
		break;
	}
}
