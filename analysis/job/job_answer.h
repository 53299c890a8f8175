/* job_answer.h - a job on one screen, and as JSON. */
#ifndef TIDEMARK_ANALYSIS_JOB_ANSWER_H
#define TIDEMARK_ANALYSIS_JOB_ANSWER_H

#include "job.h"

enum job_question { JOB_REPORT, JOB_PEAK, JOB_OOM, JOB_LEAKS, JOB_TIMELINE };

/* top: rows of a list. */
void job_print(const struct job *job, enum job_question question, int64_t top,
               FILE *out);

/* The document's keys, after its head. */
void job_json(const struct job *job, enum job_question question, struct json *json);

/* For job_screen.c: ranks with like peaks and ends folded to rows; the peaks over the steps. */
void ranks_print(const struct job *job, int64_t top, FILE *out);
void job_steps_print(const struct job *job, FILE *out);

/* For job_screen.c, job_json.c: the process groups of all ranks, each once. */
struct job_group {
	const char *what, *ranks; /* what: NULL where the program gave it no name */
};
struct job_group *job_groups(const struct job *job, size_t *count);

/* For both: the highest peak and the rank in the middle, bin by bin of steps. */
struct job_bin {
	int64_t most, median; /* bytes; 0: no rank has this step */
	const struct rollup *highest;
};
struct job_bin *job_bins(const struct job *job, size_t *count, int64_t *steps);

#endif
