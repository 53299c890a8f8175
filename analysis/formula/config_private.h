/* config_private.h - the kinds of config.json. For config.c, decoders.c and experts.c alone. */
#ifndef TIDEMARK_ANALYSIS_CONFIG_PRIVATE_H
#define TIDEMARK_ANALYSIS_CONFIG_PRIVATE_H

#include "model.h"
#include "reader.h"

struct kind {
	const char *name; /* model_type */
	enum family family;
	/* keys; one of several is 'first|second'. NULL: a model of stages */
	const char *hidden, *layers, *heads, *ffn, *positions;
	/* of each head, what is rotated where the config does not say it; 0: no rotary
	 * positions */
	double rotary;
};

/* What only some decoders have; sizes were read. */
void refine_decoder(struct reader *reader, const struct kind *kind, struct shape *s);
/* The layers whose place in the config's list says `value`; false: it has no such list. */
bool listed(struct reader *reader, const char *key, const char *value,
            struct layer_set *set);
/* Of experts, and of the attention of models that have them. */
void refine_experts(struct reader *reader, struct shape *s);

#endif
