/* ids.h - phases and buckets by number. */
#ifndef TIDEMARK_TRACER_IDS_H
#define TIDEMARK_TRACER_IDS_H

#include "schema_ids.h"

/* Phases as schema.sql numbers them; TMK_OPEN is named by the boundary that closes it. */
enum tmk_phase {
#define PHASE(name, number, text) TMK_##name,
	SCHEMA_PHASES(PHASE)
#undef PHASE
	        TMK_PHASES,
	TMK_OPEN = TMK_PHASES,
	TMK_OPEN_IN_STEP /* in an Optimizer.step: its own work, or its closure's forward */
};

/* Buckets as schema.sql numbers them. */
enum tmk_bucket {
#define BUCKET(name, number, text) TMK_BUCKET_##name,
	SCHEMA_BUCKETS(BUCKET)
#undef BUCKET
	        TMK_BUCKETS = TMK_BUCKET_CACHE /* inside what PyTorch allocates */
};

#endif
