/* once.h - texts that an answer repeats, written once: the frames of its stacks, and the stacks. */
#ifndef TIDEMARK_ANALYSIS_ONCE_H
#define TIDEMARK_ANALYSIS_ONCE_H

#include <stddef.h>
#include <stdio.h>

/* Texts by number, in the order in which they came; {0} has none. */
struct texts {
	char **list;
	size_t count, room;
	size_t *slots, slot_count; /* numbers plus one, an open hash table */
};

struct once {
	struct texts frames; /* the JSON of a frame */
	struct texts stacks; /* the JSON of a list of numbers of frames */
};

/* Copies an answer's JSON, which has no blanks between its parts, with a number in place of each
 * stack. */
void once_stacks(struct once *once, const char *json, FILE *out);

/* "frames":[…],"stacks":[…] of all that were copied. */
void once_write(const struct once *once, FILE *out);
void once_free(struct once *once);

#endif
