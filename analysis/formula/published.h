/* published.h - estimates of the activations that others published, as terms. */
#ifndef TIDEMARK_ANALYSIS_PUBLISHED_H
#define TIDEMARK_ANALYSIS_PUBLISHED_H

struct context;

void korthikanti_activations(struct context *c);
void notes_activations(struct context *c);
void rough_activations(struct context *c);

#endif
