/* changes.h - what two instants do not share: things found again or not, equal changes folded. */
#ifndef TIDEMARK_ANALYSIS_CHANGES_H
#define TIDEMARK_ANALYSIS_CHANGES_H

#include "json.h"
#include "side.h"
#include "text.h"

enum change_kind {
	CHANGE_MORE,  /* the same things, more or fewer of them */
	CHANGE_SHAPE, /* made in the same place with another shape */
	CHANGE_DTYPE,
	CHANGE_BUCKET, /* the same bytes count as something else */
	CHANGE_ONLY_A,
	CHANGE_ONLY_B,
	CHANGE_ROUNDING, /* as many of the same shape, in blocks of another size */
};

struct change {
	enum change_kind kind;
	int64_t bytes; /* B less A */
	int64_t a_bytes, b_bytes, a_blocks, b_blocks;
	struct thing a,
	        b; /* one of them each; a counts for nothing in CHANGE_ONLY_B, and so on */
	int64_t places;      /* that were folded into this one */
	const char *pattern; /* of their names; NULL: not known */
	bool batch;          /* its shape changed in the batch dimension alone */
};

/* A dimension of what a step is given that is larger or smaller in B. */
struct dimension {
	int64_t a, b;  /* 0: none was found */
	int index;     /* which, from 0 */
	int64_t bytes; /* B less A in shapes that changed in it alone */
	int64_t places;
};

struct changes {
	struct change *list; /* the largest first */
	size_t count;
	int64_t bytes; /* of all, B less A */
	struct dimension dimension;
};

/* Finds the things of A again in B: by all they have, then by less and less of it. Points into
 * both lists and their sides, which must outlive it. */
void changes_find(const struct things *a, const struct things *b,
                  struct changes *changes);
void changes_free(struct changes *changes);

/* The same changes, by what they say? */
bool changes_equal(const struct changes *one, const struct changes *other);

/* Those that change a sum, or move bytes from bucket to bucket: what a screen shows. */
bool change_counts(const struct change *change);

/* What a change is, as a sentence; the caller's. */
char *change_text(const struct change *change);
/* The same of a dimension that changed. */
char *dimension_text(const struct dimension *dimension);

/* The first `top` of them and how many more there are, `indent` blanks before each. */
void changes_print(const struct changes *changes, int64_t top, int indent, FILE *out);
/* The value of `key`, an array of all, and "dimension". */
void changes_json(const struct changes *changes, const char *key, struct json *json);

/* "+64.0 MiB", "0 B" */
struct small signed_size(int64_t bytes);

/* For changes.c: finds the dimension and marks who changed in it alone. */
void dimension_find(struct changes *changes);

#endif
