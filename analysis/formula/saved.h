/* saved.h - the tensors that autograd keeps, as terms of the formula. */
#ifndef TIDEMARK_ANALYSIS_SAVED_H
#define TIDEMARK_ANALYSIS_SAVED_H

struct context;

void saved_activations(struct context *c);

#endif
