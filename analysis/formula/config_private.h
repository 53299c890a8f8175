/* config_private.h - what reads the keys of a config.json. For config.c,
 * decoders.c and reader.c alone. */
#ifndef TIDEMARK_ANALYSIS_CONFIG_PRIVATE_H
#define TIDEMARK_ANALYSIS_CONFIG_PRIVATE_H

#include "db.h"
#include "model.h"

struct reader {
	struct db *db;
	const char *name, *text;
	char *why;
	size_t size;
	bool failed, foreign; /* foreign: of a kind that is not understood */
};

struct kind {
	const char *name; /* model_type */
	enum family family;
	/* keys; one of several is 'first|second' */
	const char *hidden, *layers, *heads, *ffn, *positions;
	/* of each head, what is rotated where the config does not say it; 0: no rotary
	 * positions */
	double rotary;
};

/* The first sentence that is said stays: what is wrong with the config. */
void wrong(struct reader *reader, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

/* A positive whole number; otherwise where the key is missing or null, and -1 for
 * otherwise means that the key must be there. */
int64_t whole(struct reader *reader, const char *key, int64_t otherwise);
bool truth(struct reader *reader, const char *key, bool otherwise);
double fraction(struct reader *reader, const char *key, double otherwise);

/* One row: the type of a key's value ('integer', 'text', 'null', ...) and the value. */
struct rows *look(struct reader *reader, const char *key);

/* Is it there, and of this type of JSON: "integer", "null"? */
bool has_type(struct reader *reader, const char *key, const char *wanted);

/* What only some decoders have; sizes were read. */
void refine_decoder(struct reader *reader, const struct kind *kind, struct shape *s);

#endif
