/* cards.h - how much memory a device has. */
#ifndef TIDEMARK_ANALYSIS_CARDS_H
#define TIDEMARK_ANALYSIS_CARDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct card {
	const char *name;
	int64_t bytes; /* as torch says it */
	const char *source;
};

const struct card *card_at(int index); /* smallest first; NULL after the last */

/* "A100 80GB" and "a100-80gb" are one. NULL: unknown; nearest is then a close name. */
const struct card *card_find(const char *name, const char **nearest);

/* The same spelling, but for case and signs. */
bool card_same(const char *a, const char *b);

/* How far a typed name is from a card's; lower is closer. */
int card_distance(const char *name, const char *card);

#endif
