/* staged.h - the activations of an image model of stages, as terms. */
#ifndef TIDEMARK_ANALYSIS_STAGED_H
#define TIDEMARK_ANALYSIS_STAGED_H

struct context;

void units_activations(struct context *c);

#endif
