/* job.h - the traces of one job, a rank each. */
#ifndef TIDEMARK_ANALYSIS_JOB_H
#define TIDEMARK_ANALYSIS_JOB_H

#include "json.h"
#include "rollup.h"

/* Another job, or a run of none, whose traces lie among those that were named. */
struct other_job {
	const struct rollup *one; /* a trace of it */
	size_t count;
};

struct job {
	struct rollup *rollups; /* all files, in their order */
	size_t rollup_count;

	const struct rollup *
	        *ranks; /* of this job, by rank; those without one last, by file */
	size_t count;
	const struct rollup *
	        *peaks; /* those with device memory, the highest peak first */
	size_t peak_count;
	const char *
	        name; /* who started it and how it is called there; NULL: not recorded */
	int64_t world;    /* ranks that it has; -1: not known */
	int64_t *missing; /* ranks without a trace */
	size_t missing_count;
	size_t hosts;
	size_t helpers; /* more traces of processes that the same ranks have started */
	size_t earlier; /* traces of the same ranks before they were started anew */

	struct other_job *others;
	size_t other_count;
	const struct rollup **unreadable;
	size_t unreadable_count;
};

/* Sorts out what was read and takes it over. The job that began last is the one; the others are
 * counted. Ends the program with status 3 where no trace could be read. */
void job_make(struct rollup *rollups, size_t count, struct job *job);
/* The same of the files that words name (trace_files()). */
void job_read(char *const *words, int count, const struct rollup_wish *wish,
              struct job *job);
void job_free(struct job *job);

/* "0-3, 7" of numbers in order; of many stretches the first and the last; the caller's. */
char *ranks_list(const int64_t *ranks, size_t count);
/* "rank 3", "ranks 0-3, 7"; for traces without a rank the names of their files. The caller's. */
char *ranks_text(const struct rollup *const *ranks, size_t count);

/* The rank in the middle of those with a peak. NULL: none has. */
const struct rollup *job_median(const struct job *job);

/* The rank whose end was bad, and the first of them; NULL: none ended badly. */
const struct rollup *job_first_end(const struct job *job);
/* How it ended, as half a sentence: "it ran out of memory in step 3, backward". The caller's;
 * NULL: it ended well, or goes on. */
char *end_text(const struct rollup *rollup);

#endif
