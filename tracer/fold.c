/* fold.c - the last few distinct steps, to recognise a repetition. Equality is that of
 * every event's 64-bit signature in order: not of one hash over the step.
 * Called from: step.c. Owns: the signatures. */
#include "fold.h"

#include <stdlib.h>
#include <string.h>

/* Steps alternate (two models, evaluation every n-th, bucketed lengths); a loop of more
 * different steps than this writes them again, which costs space and nothing else. */
enum { KEPT = 48 };

struct tmk_patterns {
	struct {
		uint64_t *signature;
		uint32_t events, step;
		uint64_t used; /* when last */
	} kept[KEPT];
	uint64_t clock;
};

void tmk_patterns_add(struct tmk_patterns **p, uint32_t step, uint64_t *signature,
		      uint32_t events)
{
	if (!*p)
		*p = calloc(1, sizeof **p);
	if (!*p) {
		free(signature);
		return;
	}
	int oldest = 0;
	for (int i = 1; i < KEPT; i++)
		if ((*p)->kept[i].used < (*p)->kept[oldest].used)
			oldest = i;
	free((*p)->kept[oldest].signature);
	(*p)->kept[oldest].signature = signature;
	(*p)->kept[oldest].events = events;
	(*p)->kept[oldest].step = step;
	(*p)->kept[oldest].used = ++(*p)->clock;
}

int64_t tmk_patterns_find(struct tmk_patterns *p, const uint64_t *signature,
			  uint32_t events)
{
	for (int i = 0; p && i < KEPT; i++) {
		if (!p->kept[i].used || p->kept[i].events != events ||
		    memcmp(p->kept[i].signature, signature, events * sizeof *signature))
			continue;
		p->kept[i].used = ++p->clock;
		return p->kept[i].step;
	}
	return -1;
}

void tmk_patterns_free(struct tmk_patterns *p)
{
	for (int i = 0; p && i < KEPT; i++)
		free(p->kept[i].signature);
	free(p);
}
