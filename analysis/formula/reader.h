/* reader.h - values of a config.json, which may be of any type. What is wrong is said once, in the
 * reader; after that every value is what it would be otherwise. */
#ifndef TIDEMARK_ANALYSIS_READER_H
#define TIDEMARK_ANALYSIS_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db.h"

struct reader {
	struct db *db;
	const char *name, *text;
	char *why;
	size_t size;
	bool failed, foreign; /* foreign: sound, and not understood here */
};

void wrong(struct reader *reader, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

/* The same of a key whose value transformers has a model for, and the formula none. what: the words
 * behind the value. */
void strange(struct reader *reader, const char *key, const char *what);

/* One row: the type of a key's value ('integer', 'text', 'null', ...) and the value; the caller
 * frees it. NULL: there is none. */
struct rows *look(struct reader *reader, const char *key);

/* A positive whole number; otherwise where the key is missing or null, and -1 for
 * otherwise means that the key must be there; of 'first|second' the first that is there. number_of() takes any and is never wrong. */
int64_t whole(struct reader *reader, const char *keys, int64_t otherwise);
int64_t number_of(struct reader *reader, const char *key, int64_t otherwise);
bool truth(struct reader *reader, const char *key, bool otherwise);
double fraction(struct reader *reader, const char *key, double otherwise);
double real_of(struct reader *reader, const char *key,
               double otherwise); /* any number */

/* Is it there, and of this type of JSON: "integer", "null"? */
bool has_type(struct reader *reader, const char *key, const char *wanted);

/* Is it a text, and not one of 'first|second'? Where it is missing, it is not. */
bool is_other(struct reader *reader, const char *key, const char *known);

#endif
