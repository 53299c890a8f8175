/* checkpoint.h - what checkpointing a list of layers would give back. */
#ifndef TIDEMARK_ANALYSIS_CHECKPOINT_H
#define TIDEMARK_ANALYSIS_CHECKPOINT_H

#include "segments.h"

struct checkpoint {
	char *list; /* "transformer.h"; NULL: no list of layers holds anything */
	int layers;
	int64_t bytes; /* their activations */
	int64_t kept;  /* what enters them, and stays */
	int64_t saves; /* bytes - kept - what one layer makes again */
};

/* The list of layers that would give back the most, by the activations of this step. */
struct checkpoint checkpoint_best(const struct places *places,
                                  const struct segments *segments, int64_t step);
void checkpoint_free(struct checkpoint *checkpoint);

#endif
