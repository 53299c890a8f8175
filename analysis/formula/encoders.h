/* encoders.h - what a config.json says of an encoder, and of the head on any model's layers. */
#ifndef TIDEMARK_ANALYSIS_ENCODERS_H
#define TIDEMARK_ANALYSIS_ENCODERS_H

#include "model.h"
#include "reader.h"

void config_encoder(struct reader *reader, struct shape *shape);
void config_head(struct reader *reader, struct shape *shape);

#endif
