/* tasks.h - what a model is trained for: the head on its layers, by the name of its class in
 * transformers or by --task. */
#ifndef TIDEMARK_ANALYSIS_TASKS_H
#define TIDEMARK_ANALYSIS_TASKS_H

#include "model.h"

enum task {
	TASK_CAUSAL_LM,
	TASK_MASKED_LM,
	TASK_SEQUENCE_CLASSIFICATION,
	TASK_TOKEN_CLASSIFICATION,
	TASK_SEQ2SEQ,
	TASK_IMAGE_CLASSIFICATION, /* what vision models do; nobody asks for it */
	TASK_COUNT
};
enum { TASKS_ASKED = TASK_IMAGE_CLASSIFICATION };
extern const char *const task_names[TASK_COUNT];

/* Of a class: "BertForMaskedLM". TASK_COUNT: of a head that is not known; -1: it has none
 * ("BertModel"). */
int task_of_class(const char *name);

/* The task of a shape; TASK_COUNT: none that is known. */
enum task task_of(const struct shape *shape);

/* Gives the shape the head of a task. false: transformers has no such class of its family, or what
 * it would train is not known here. */
bool task_take(struct shape *shape, enum task task);

#endif
