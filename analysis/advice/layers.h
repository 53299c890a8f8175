/* layers.h - the forward of each step as runs of layers, for what would free them early. */
#ifndef TIDEMARK_ANALYSIS_LAYERS_H
#define TIDEMARK_ANALYSIS_LAYERS_H

#include "scene.h"

/* One pass through one layer: pieces [first, end) of the script lie in it, and others may. */
struct layer_run {
	const char *list; /* its first `length` characters name the list */
	int length;
	int64_t index;
	int32_t first, last; /* pieces */
	int32_t over;        /* the act at which the pass has ended */
	int32_t output;      /* the piece that the next layer is given; -1 */
	int32_t step;
};

struct layer_runs {
	struct layer_run *list;
	size_t count, room;
};

/* In order, of the script's forwards from the act `from` on. */
void layers_find(const struct scene *scene, int32_t from, struct layer_runs *runs);
void layers_free(struct layer_runs *runs);

bool layers_same_list(const struct layer_run *a, const struct layer_run *b);
bool layers_holds(const struct scene *scene, const struct layer_run *run,
                  int32_t piece);

#endif
