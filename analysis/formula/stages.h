/* stages.h - an image model of stages as a list of its modules in the order in which they run: what
 * each is called with, and so how many weights it has and what it saves. The formula counts by this
 * list, and the walk goes through it.
 * Source: models/resnet, models/convnext and models/swin of transformers 5.23. */
#ifndef TIDEMARK_ANALYSIS_STAGES_H
#define TIDEMARK_ANALYSIS_STAGES_H

#include "model.h"

enum unit_kind {
	UNIT_CONVOLUTION,
	UNIT_BATCH_NORM,
	UNIT_LAYER_NORM,
	UNIT_LINEAR,
	UNIT_RELU,
	UNIT_GELU,
	UNIT_SCALE,     /* times a trained number for each channel */
	UNIT_POSITIONS, /* plus a trained table */
	UNIT_DROPOUT,
	UNIT_MAX_POOL,
	UNIT_MEAN,     /* over all places */
	UNIT_WINDOWS,  /* attention among the places of a window */
	UNIT_MERGE,    /* four places become one with all their channels */
	UNIT_BEGIN,    /* of a branch: what it reads is kept */
	UNIT_SHORTCUT, /* from here on with what was kept; the branch waits */
	UNIT_ADD,      /* the branch and what was kept */
	UNIT_END,      /* of a layer, whose variables go */
	UNIT_OUTPUT    /* of a stage: a copy of it is made that nobody reads */
};

struct unit {
	enum unit_kind kind;
	int64_t in, out;        /* channels of what it reads, and gives */
	int64_t read, places;   /* places of a picture, likewise */
	int64_t kernel, groups; /* of a convolution; kernel: one side of its window */
	/* of windows: the places in one; of all, with those that fill up the last ones; of these, the
	 * places in rows that are the picture's own; heads */
	int64_t window, padded, own_rows, heads;
	bool bias;
	bool again;   /* what it reads was saved by what gave it */
	bool shifted; /* windows: of a picture that is rolled */
	/* A picture lies channel by channel, or place by place, where norms and matmuls run. */
	bool turned; /* a norm or a convolution of channels that lies place by place */
	bool copied; /* a norm: its input lies channel by channel, and is copied */
	bool relaid; /* the gradient of what it gives is laid out anew for it */
	bool apart; /* a scale, a norm: the gradient of what it gives lies channel by channel */
	bool named; /* a norm: a variable has what it gives until the branch has run */
	bool drops; /* a sum: whole branches are left out at random */
};

struct units {
	struct unit *list;
	size_t count, room;
};

/* Of a shape that has stages. The caller frees the list. */
void units_of(const struct shape *shape, struct units *units);

/* The weights of a unit; how many kinds of them. */
enum { UNIT_WEIGHTS = 3 };
int unit_weights(const struct unit *unit, struct weight weights[UNIT_WEIGHTS]);

/* Bytes that a unit keeps of a sample for the backward. */
struct unit_widths {
	int64_t wide, stream; /* of what a matmul gives; of the rest */
	int64_t score; /* what is kept of each score of two places; 0: a kernel keeps none */
	int64_t casts; /* how often what three matmuls read is cast for them */
};
int64_t unit_saves(const struct unit *unit, const struct unit_widths *widths);

#endif
