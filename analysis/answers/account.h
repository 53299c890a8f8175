/* account.h - every byte of a device in use at one instant, by bucket. */
#ifndef TIDEMARK_ANALYSIS_ACCOUNT_H
#define TIDEMARK_ANALYSIS_ACCOUNT_H

#include "maxima.h"
#include "segments.h"

struct entry {
	int64_t bytes, blocks;
	int64_t rounding; /* of it, beyond what the tensors need */
	int64_t rule;     /* that decided most of it, or -1 */
	int64_t rule_bytes;
};

struct account {
	struct moment moment;
	struct places places;
	struct segments segments;
	struct live live;
	struct maxima maxima;
	struct entry of[BUCKETS];
	/* What the allocator counts and no row explains: blocks from before tracing began,
	 * or rows that were thinned away. Negative: rows that outlived their blocks. */
	int64_t unseen;
	const char *unseen_name;
	bool split;    /* the next two add up to the cache */
	int64_t cache; /* -1: not known, as the next */
	int64_t context;
};

void account_make(struct trace *trace, const struct moment *moment,
                  struct account *account);
void account_free(struct account *account);

#endif
