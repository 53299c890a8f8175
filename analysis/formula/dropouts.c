/* dropouts.c - where a config.json of a decoder asks for dropout.
 * Source: models/NAME/configuration_NAME.py and modeling_NAME.py of transformers 5.23.
 * Called from: config.c. */
#include "dropouts.h"

/* Keys of each place; NULL: the family has none there, whatever the config says. */
struct keys {
	enum family family;
	const char *embedding, *attention, *mlp, *weights;
	double usual;
};

static const struct keys *keys_of(enum family family)
{
	static const char whole[] = "hidden_dropout", weights[] = "attention_dropout";
	static const struct keys all[] = {
	        {FAMILY_GPT2, "embd_pdrop", "resid_pdrop", "resid_pdrop", "attn_pdrop",
	         0.1},
	        {FAMILY_GPTJ, "embd_pdrop", "resid_pdrop", "resid_pdrop", "attn_pdrop",
	         0},
	        {FAMILY_CODEGEN, "embd_pdrop", "resid_pdrop", "resid_pdrop",
	         "attn_pdrop", 0},
	        {FAMILY_GPT_NEO, "embed_dropout", "resid_dropout", "resid_dropout",
	         weights, 0},
	        {FAMILY_NEOX, whole, whole, whole, weights, 0},
	        {FAMILY_STARCODER2, "embedding_dropout", "residual_dropout",
	         "residual_dropout", weights, 0},
	        {FAMILY_STABLELM, NULL, NULL, whole, weights, 0},
	        {FAMILY_PHI, "embd_pdrop", "resid_pdrop", "resid_pdrop", weights, 0},
	        {FAMILY_PHI3, NULL, "resid_pdrop", "resid_pdrop", weights, 0},
	        {FAMILY_OPT, NULL, "dropout", "dropout", NULL, 0.1},
	        {FAMILY_BLOOM, NULL, whole, whole, weights, 0},
	        {FAMILY_FALCON, NULL, weights, whole, weights, 0},
	        {FAMILY_MPT, NULL, "attn_config.attn_pdrop", "attn_config.attn_pdrop",
	         "attn_config.attn_pdrop", 0},
	};
	static const struct keys others = {FAMILY_COUNT, NULL, NULL, NULL, weights, 0};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i].family == family)
			return &all[i];
	return &others;
}

static bool asked(struct reader *reader, const char *key, double usual)
{
	return key && fraction(reader, key, usual) > 0;
}

void config_dropout(struct reader *reader, struct shape *s)
{
	const struct keys *keys = keys_of(s->family);

	s->undropped = 0;
	if (!asked(reader, keys->embedding, keys->usual))
		s->undropped |= PLACE_EMBEDDING;
	if (!asked(reader, keys->attention, keys->usual))
		s->undropped |= PLACE_ATTENTION;
	if (!asked(reader, keys->mlp, keys->usual))
		s->undropped |= PLACE_MLP;
	s->dropout = s->undropped != (PLACE_EMBEDDING | PLACE_ATTENTION | PLACE_MLP);
	s->attention_dropout = asked(reader, keys->weights, keys->usual);
	if (s->family == FAMILY_OPT)
		s->attention_dropout = asked(reader, "attention_dropout", 0);
}
