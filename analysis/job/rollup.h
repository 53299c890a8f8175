/* rollup.h - what an answer about a job needs of one rank's trace: a few hundred numbers. */
#ifndef TIDEMARK_ANALYSIS_ROLLUP_H
#define TIDEMARK_ANALYSIS_ROLLUP_H

#include <stdio.h>

#include "trace.h"

enum rollup_text {
	OF_JOB, /* what the ranks of one job share, by who gave it: "torchrun 5f3c" */
	OF_HOST,
	OF_COMMAND,
	OF_TORCH,
	OF_DOUBT,  /* why its figures may be too low (doubt.h); NULL: they are whole */
	OF_DEVICE, /* the one with the highest peak; NULL: no device memory */
	OF_PRODUCT,
	OF_PHASE,     /* of its peak */
	OF_OOM_PHASE, /* of the refusal that ended the run; NULL: it did not end so */
	OF_OOM_LINE,
	OF_OOM_VERDICT,
	OF_LEAK_LINE,
	ROLLUP_TEXTS
};

/* Bytes, or what is said; -1 where it is not known. Times are of the calendar, in ns. */
enum rollup_number {
	OF_RANK,
	OF_WORLD,
	OF_RESTART, /* how often torchrun had started the job anew */
	OF_PID,
	OF_STARTED,
	OF_ENDED,   /* the end, or the last that is known of it */
	OF_STATUS,  /* exit status */
	OF_RUNNING, /* 1: it goes on */
	OF_SIMULATED,
	OF_STEPS, /* complete ones */
	OF_LOST,
	OF_TOTAL, /* of the device */
	OF_ALLOCATED,
	OF_RESERVED,
	OF_STEP,
	OF_OOM_STEP,
	OF_OOM_REQUESTED,
	OF_OOM_ALLOCATED,
	OF_OOM_TIME,
	OF_LEAK_RATE, /* bytes a step; 0: nothing grows; -1: too few steps */
	OF_LEAK_KEPT,
	OF_LEAK_FROM, /* the first step that was compared */
	OF_BATCH,     /* first dimension of what a step was given, at the peak */
	OF_UNSEEN,
	OF_BUCKET,                    /* and so on: at the peak */
	OF_BIN = OF_BUCKET + BUCKETS, /* steps in each of `steps` */
	ROLLUP_NUMBERS
};

/* Blocks of one place, at the peak; layers are one place. */
struct part {
	char *bucket, *place, *layers, *line; /* layers: "0-11"; NULL where not known */
	int64_t bytes, blocks;
};

/* A process group that the rank is in. */
struct process_group {
	char *what, *ranks;
};

struct rollup {
	char *path;
	char *why; /* why it cannot be read; NULL: it could */
	char *text[ROLLUP_TEXTS];
	int64_t number[ROLLUP_NUMBERS];
	struct part *parts; /* the most bytes first */
	size_t part_count, part_room;
	struct process_group *groups;
	size_t group_count, group_room;
	int64_t *steps; /* the highest peak of each bin of steps */
	size_t step_count;
};

/* What is asked of each trace. */
struct rollup_wish {
	const char *device; /* NULL: the one with the highest peak */
	int64_t step;       /* -1: the whole run */
	bool growth;        /* whether it leaks */
};

/* Reads an open trace. */
void rollup_make(struct trace *trace, const struct rollup_wish *wish,
                 struct rollup *rollup);
void rollup_free(struct rollup *rollup);

/* Between processes of one command. false: what came is not whole. */
void rollup_write(const struct rollup *rollup, FILE *to);
bool rollup_read(struct rollup *rollup, FILE *from);

/* Reads many files, each in a process of its own, as many at a time as there are cores: what a
 * damaged trace ends is that process. Each has a rollup, in order; `why` says what could not be
 * read. */
struct rollup *rollups_read(char *const *files, size_t count,
                            const struct rollup_wish *wish);

/* The files of words: a folder stands for the traces in it, and in its folders where it has none
 * itself. Ends the program with status 3 where a folder has none. */
char **trace_files(char *const *words, int count, size_t *files);

#endif
