/* experts.h - the weights of models with experts, and of DeepSeek's attention. */
#ifndef TIDEMARK_ANALYSIS_EXPERTS_H
#define TIDEMARK_ANALYSIS_EXPERTS_H

#include "model.h"

/* Are the tokens of each expert put beside each other for one matmul of all experts? Llama 4's
 * experts each read every token. */
bool experts_are_grouped(const struct shape *shape);

/* Routers, experts and what all tokens go through beside them; the matmuls of DeepSeek's attention.
 * 0, or not: the count overflows. */
int experts_add(struct model *model, const struct shape *shape);
int experts_add_latent(struct model *model, const struct shape *shape);

#endif
