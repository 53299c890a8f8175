/* side.h - one of two runs that are held beside each other: what was alive at an instant, told
 * by names, so that it can be found again in another trace. */
#ifndef TIDEMARK_ANALYSIS_SIDE_H
#define TIDEMARK_ANALYSIS_SIDE_H

#include "live.h"

/* Blocks that have all of this in common. What is not known is NULL, line -1. */
struct thing {
	int64_t bytes, blocks;
	const char *bucket, *phase;
	const char *place; /* the tensor they are, else the module they were made in */
	const char *pattern; /* of it: 'h.0.mlp' and 'h.1.mlp' are both 'h.*.mlp' */
	const char *op, *shape, *dtype;
	const char *file; /* from the folder of the run's script, or of the library */
	const char *own;  /* the same file as this run's machine has it */
	int64_t line;
};

struct things {
	struct thing *list;
	size_t count;
	int64_t bytes; /* all of them together */
	bool thinned;  /* what was alive then is not in the trace any more */
};

/* One run on one device. */
struct side {
	struct trace *trace;
	const struct device *device;
	struct places places;
	char *folder, *cwd; /* of the script, and the working folder; NULL: not known */
	struct spot *spots; /* the line of each stack that was looked for */
	size_t spot_count, spot_room;
	char **texts; /* what things point to */
	size_t text_count, text_room;
};

void side_load(struct trace *trace, const struct device *device, struct side *side);
void side_free(struct side *side);

/* What was alive after an event of a step, the most bytes first; allocated: what the allocator
 * said then. What no row explains is a thing too, under a name of its own. The things point into
 * the side, which must outlive them; free the list. */
void side_alive(struct side *side, const struct step *step, int64_t ordinal,
                int64_t allocated, struct things *things);

/* What two things are asked to share. */
enum same {
	SAME_BUCKET = 1,
	SAME_PLACE = 2,
	SAME_OP = 4,
	SAME_SHAPE = 8,
	SAME_DTYPE = 16,
	SAME_FILE = 32,
	SAME_LINE = 64,
	SAME_ALL = 127,
	SAME_PATTERN = 128, /* of the place, which names a layer by a number */
};

/* An order of things by what `of` (a sum of enum same) names; 0: they share all of it. */
int thing_order(const struct thing *a, const struct thing *b, unsigned of);

#endif
