/* encoders.h - what a config.json says of encoders, of two stacks, and of the head on any model's layers. */
#ifndef TIDEMARK_ANALYSIS_ENCODERS_H
#define TIDEMARK_ANALYSIS_ENCODERS_H

#include "model.h"
#include "reader.h"

void config_encoder(struct reader *reader, struct shape *shape);
/* Layers that read the patches of an image. */
void config_vision(struct reader *reader, struct shape *shape);
/* Two stacks: T5, mT5, BART and Whisper. */
void config_seq2seq(struct reader *reader, struct shape *shape, bool mt5);
void config_head(struct reader *reader, struct shape *shape);

#endif
