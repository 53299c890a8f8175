/* dropouts.h - where a config.json asks for dropout. */
#ifndef TIDEMARK_ANALYSIS_DROPOUTS_H
#define TIDEMARK_ANALYSIS_DROPOUTS_H

#include "model.h"
#include "reader.h"

/* Of decoders; encoders and models of two stacks have names of their own for it. */
void config_dropout(struct reader *reader, struct shape *shape);

#endif
