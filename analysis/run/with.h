/* with.h - `simulate --with`: levers that are applied to a program from outside. */
#ifndef TIDEMARK_ANALYSIS_WITH_H
#define TIDEMARK_ANALYSIS_WITH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "json.h"

struct applied {
	char *lever, *value; /* value: "" where none was given */
	bool done;
	char *what; /* done: to what it was applied; else why it was not; NULL: no word */
};

struct with {
	struct applied *levers;
	size_t count;
	char *report; /* the file in which the program's Python says what it did */
};

/* Reads "LEVER[=VALUE],…". Ends the program with status 2 where that is none. */
void with_parse(const char *text, struct with *with);
void with_free(struct with *with);

/* Can a lever of this name be applied from outside? */
bool with_knows(const char *lever);

/* Prints the levers there are. */
void with_list(FILE *out);

/* Sets the environment for the program. stubs: the folder of the simulated device. Ends the
 * program with status 2 where the scripts are not installed. */
void with_prepare(struct with *with, const char *stubs);

/* After a run: what became of each lever. false: of one, nothing. */
bool with_read(struct with *with);

/* What was applied to what, and the sentence for each lever that was not. On stderr. */
void with_say(const struct with *with);
void with_json(const struct with *with, struct json *json);

#endif
