/* shape.h - one step with rows of its own, as the page draws it: what is born and dies in it,
 * and how much each bucket holds while it goes on. */
#ifndef TIDEMARK_ANALYSIS_SHAPE_H
#define TIDEMARK_ANALYSIS_SHAPE_H

#include "pack.h"
#include "used.h"

/* A block's life, as far as it falls into the step. */
struct life {
	int64_t born_ns, died_ns; /* since the run began */
	int64_t bytes, address, site;
	int32_t born_step, died_step; /* died_step -1: never */
	uint32_t born, died;          /* events of their steps */
	int32_t bucket;
};

struct shape {
	int64_t step, start_ns;
	struct life *lives;
	size_t count, room;
};

/* How much of a shape goes into the page. */
struct share {
	size_t blocks;  /* the largest, no more than so many */
	size_t samples; /* instants of the curve, where not all blocks are there */
};

void shape_load(struct trace *trace, int64_t device, const struct step *step,
                struct shape *shape);
void shape_free(struct shape *shape);

/* What was left out of one shape. */
struct thinned {
	int64_t blocks;   /* not in the page as blocks; the curve has their bytes */
	int64_t smallest; /* the smallest block that is there, in bytes */
	int64_t instants; /* events between the samples of the curve */
};

void shape_pack(const struct shape *shape, const struct share *share, struct used *used,
                struct pack *pack, struct thinned *thinned);

#endif
