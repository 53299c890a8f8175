/* tasks.c - what a model is trained for: the head on its layers.
 * Called from: formula/, plan/, trace/. */
#include "tasks.h"

#include <string.h>

const char *const task_names[TASK_COUNT] = {"causal-lm",
                                            "masked-lm",
                                            "sequence-classification",
                                            "token-classification",
                                            "seq2seq",
                                            "image-classification"};

int task_of_class(const char *name)
{
	static const struct {
		const char *part;
		enum task task;
	} parts[] = {{"ForCausalLM", TASK_CAUSAL_LM},
	             {"LMHeadModel", TASK_CAUSAL_LM},
	             {"ForMaskedLM", TASK_MASKED_LM},
	             {"ForSequenceClassification", TASK_SEQUENCE_CLASSIFICATION},
	             {"ForTokenClassification", TASK_TOKEN_CLASSIFICATION},
	             {"ForConditionalGeneration", TASK_SEQ2SEQ},
	             {"ForImageClassification", TASK_IMAGE_CLASSIFICATION}};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (strstr(name, parts[i].part))
			return (int)parts[i].task;
	for (const char *at = name; (at = strstr(at, "For")); at += 3)
		if (at[3] >= 'A' && at[3] <= 'Z')
			return TASK_COUNT;
	return -1;
}

enum task task_of(const struct shape *shape)
{
	static const enum task tasks[] = {[HEAD_NONE] = TASK_COUNT,
	                                  [HEAD_LM] = TASK_CAUSAL_LM,
	                                  [HEAD_MASKED] = TASK_MASKED_LM,
	                                  [HEAD_SEQUENCE] =
	                                          TASK_SEQUENCE_CLASSIFICATION,
	                                  [HEAD_TOKENS] = TASK_TOKEN_CLASSIFICATION,
	                                  [HEAD_CLASSES] = TASK_IMAGE_CLASSIFICATION,
	                                  [HEAD_SEQ2SEQ] = TASK_SEQ2SEQ,
	                                  [HEAD_CONTRAST] = TASK_COUNT};

	return tasks[shape->head];
}

/* Decoders of which transformers 5.23 has no class of the task: models/auto/modeling_auto.py. */
static bool lacks(enum family family, enum task task)
{
	if (family == FAMILY_GRANITE || family == FAMILY_COHERE)
		return true;
	return task == TASK_TOKEN_CLASSIFICATION &&
	       (family == FAMILY_OPT || family == FAMILY_OLMO2);
}

bool task_take(struct shape *s, enum task task)
{
	bool words = task == TASK_SEQUENCE_CLASSIFICATION ||
	             task == TASK_TOKEN_CLASSIFICATION;

	s->head_assumed = false;
	if (task == task_of(s))
		return true;
	if (s->patch || s->stages.count || s->pictures.layers || s->decoder_layers ||
	    (!s->encoder &&
	     (task == TASK_MASKED_LM || (words && lacks(s->family, task)))) ||
	    (s->encoder && task == TASK_CAUSAL_LM) || task >= TASK_SEQ2SEQ)
		return false;
	s->head = task == TASK_CAUSAL_LM                 ? HEAD_LM
	          : task == TASK_MASKED_LM               ? HEAD_MASKED
	          : task == TASK_SEQUENCE_CLASSIFICATION ? HEAD_SEQUENCE
	                                                 : HEAD_TOKENS;
	if (words && !s->classes)
		s->classes = 2;
	/* a decoder's classes of tokens stand behind a dropout of their own, of a sample they don't */
	if (!s->encoder)
		s->head_dropout = task == TASK_TOKEN_CLASSIFICATION;
	return true;
}
