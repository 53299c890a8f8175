/* live.h - what was alive on a device at one instant, summed by where it came from. */
#ifndef TIDEMARK_ANALYSIS_LIVE_H
#define TIDEMARK_ANALYSIS_LIVE_H

#include <stddef.h>
#include <stdint.h>

#include "site.h"
#include "trace.h"

/* One block, as its row says it. */
struct alive {
	struct block block;
	int64_t site, bucket, rule;
	int64_t requested; /* -1: not known */
};

struct sum {
	int64_t site, bucket, bytes, blocks;
	const struct tensor *owner; /* NULL: no name is known */
};

struct live {
	struct sum *sums; /* one for each site, bucket and owner; in no order */
	size_t count;
	int64_t bytes; /* all of them together */
	/* while it is filled: indices into sums plus one, an open hash table */
	size_t room, *slots, slot_count;
};

/* Visits every block that was alive on a device in a step after the event `ordinal`, in
 * no order. -1, and no visit, where the rows of the step were thinned away. Of a folded
 * step, addresses are those of the step whose rows stand for it. */
typedef void live_visit(void *context, const struct alive *alive);
int live_each(struct trace *trace, int64_t device, const struct step *step,
              int64_t ordinal, live_visit *visit, void *context);

/* What was alive on a device in a step after the event `ordinal`; -1: when it began.
 * Sums point into places. -1 where the rows of the step were thinned away (live is then
 * empty). */
int live_at(struct trace *trace, const struct places *places, int64_t device,
            const struct step *step, int64_t ordinal, struct live *live);
void live_free(struct live *live);

#endif
