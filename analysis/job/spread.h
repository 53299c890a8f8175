/* spread.h - by what the ranks of a job differ at their peaks. */
#ifndef TIDEMARK_ANALYSIS_SPREAD_H
#define TIDEMARK_ANALYSIS_SPREAD_H

#include "job.h"

/* A place, or a bucket, whose bytes differ from rank to rank. */
struct difference_of {
	const struct part *part; /* one of them; of a bucket only its name counts */
	int64_t least, median,
	        most; /* bytes, over all ranks; 0 where a rank has none */
	const struct rollup *lowest, *highest;
	const struct rollup **having,
	        **lacking; /* ranks that have it, and that have not */
	size_t having_count, lacking_count;
	bool layers; /* other layers on other ranks */
};

struct spread {
	struct difference_of *list; /* the largest spread first */
	size_t count;
};

/* By bucket, and by place. Points into the job. */
void spread_buckets(const struct job *job, struct spread *spread);
void spread_parts(const struct job *job, struct spread *spread);
void spread_free(struct spread *spread);

/* The name of a bucket as schema.sql numbers it; NULL beyond the last. */
const char *bucket_name(int bucket);

/* What a difference is, as a sentence; the caller's. */
char *spread_text(const struct difference_of *difference);

/* A sentence where ranks were given batches of different sizes; the caller's, NULL where they
 * were not, or where it is not known. */
char *batch_text(const struct job *job);

#endif
