/* mamba.h - Mamba 2's layers. */
#ifndef TIDEMARK_ANALYSIS_MAMBA_H
#define TIDEMARK_ANALYSIS_MAMBA_H

#include "model.h"
#include "reader.h"

/* Its own fields of a config.json; hidden size, heads and their width are read. */
void refine_mamba(struct reader *reader, struct shape *s);

/* Adds the weights of all layers. Not 0: their sum overflows. */
int mamba_add(struct model *model, const struct shape *s);

#endif
