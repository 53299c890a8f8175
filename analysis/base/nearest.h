/* nearest.h - which known word somebody meant: "did you mean". */
#ifndef TIDEMARK_ANALYSIS_NEAREST_H
#define TIDEMARK_ANALYSIS_NEAREST_H

#include <stdbool.h>

/* Edit distance of two words. */
int word_distance(const char *a, const char *b);

/* True where a typed word is closer to name than *best, which then becomes the distance.
 * Two slips are a typing error; more is another word. A prefix is always meant. */
bool word_is_close(const char *typed, const char *name, int *best);

#endif
