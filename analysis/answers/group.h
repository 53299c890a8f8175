/* group.h - what was alive, put together by what it has in common. */
#ifndef TIDEMARK_ANALYSIS_GROUP_H
#define TIDEMARK_ANALYSIS_GROUP_H

#include "live.h"

enum group_key {
	BY_PHASE = 1,
	BY_BUCKET = 2,
	BY_MODULE = 4,
	BY_STACK = 8,
	BY_SHAPE = 16,
	BY_OP = 32,
	BY_OWNER = 64,
	BY_ALL = 127,
	/* 'h.0.mlp' and 'h.1.mlp' are both 'h.*.mlp': layers are alike. Blocks of which no module,
	 * operator or tensor is known are alike where the user's line is. */
	BY_PATTERN = 128,
	BY_DTYPE = 256,
	BY_SCOPE = 512, /* the program's own phases and buckets */
	/* The module of a named tensor is the one that it belongs to, not the one that made it. */
	BY_BELONGING = 1024,
};

/* What a group's blocks do not share is NULL, or -1. */
struct group {
	int64_t bytes, blocks;
	const char *phase, *bucket, *module, *op, *shape, *dtype, *owner, *owner_kind,
	        *scope;
	const char *line; /* "train.py:30", by BY_PATTERN where nothing else is known */
	int64_t stack, native_stack;
	int64_t largest_stack;      /* that of the most bytes in the group */
	const struct site *largest; /* where those come from; NULL: not known */
	const struct places *places;
};

struct groups {
	struct group *groups; /* most bytes first */
	size_t count;
	char **texts; /* the patterns that the groups point to */
	size_t text_count;
};

/* Points into trace and places, which must outlive it. by: a sum of group_key. */
void groups_make(struct trace *trace, const struct places *places,
                 const struct live *live, unsigned by, struct groups *groups);
void groups_free(struct groups *groups);

/* 'h.0.mlp' and 'h.1.mlp' are both 'h.*.mlp'; the caller's. NULL gives NULL. */
char *name_pattern(const char *name);

/* A word of --by and what it means; the last one of a list has no name. */
struct key_name {
	const char *name;
	unsigned key;
};

/* "phase,module" to a sum of keys; ends the program with status 2 for a word that is not in the
 * list, and names the nearest. */
unsigned groups_keys(const struct key_name *names, const char *list);

/* The same with the words of `peak`. */
unsigned groups_parse(const char *list);

#endif
