/* live.h - what was alive on a device at one instant, block by block. */
#ifndef TIDEMARK_LIVE_H
#define TIDEMARK_LIVE_H

#include <stddef.h>
#include <stdint.h>

#include "trace.h"

struct block {
	int64_t site, bucket, bytes, address, born_step;
	int64_t died_step; /* -1: alive at the end of the trace */
};

struct live {
	struct block *blocks;
	size_t count, room;
	int64_t bytes; /* their sum */
};

/* The blocks alive on a device in a step after the event `ordinal`; -1: when it began.
 * -1 where the rows of the step were thinned away (live is then empty). */
int live_at(struct trace *trace, int64_t device, const struct step *step,
            int64_t ordinal, struct live *live);
void live_free(struct live *live);

#endif
