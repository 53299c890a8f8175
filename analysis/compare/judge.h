/* judge.h - does a run keep to what it must keep to? */
#ifndef TIDEMARK_ANALYSIS_JUDGE_H
#define TIDEMARK_ANALYSIS_JUDGE_H

#include <stdio.h>

#include "cards.h"
#include "trace.h"

/* JUDGE_UNKNOWN: the trace does not tell; that is no pass. */
enum judged { JUDGE_PASSED, JUDGE_FAILED, JUDGE_UNKNOWN };

struct condition {
	const char *name; /* "max-peak", "baseline", "no-leak", "fits", "traces" */
	char *rank;       /* "rank 3", of a job; NULL: the run is no job */
	const char *path; /* its trace */
	char *device;     /* NULL: of the whole run */
	enum judged judged;
	char *reason;         /* one sentence, whatever was judged */
	const char *basis;    /* "measured", "replayed"; NULL where nothing is known */
	int64_t value, limit; /* bytes; -1: none, or not known */
	char *file;           /* the user's line that it is about; NULL: none */
	int64_t line;
	const char *next; /* the command that tells more */
};

struct conditions {
	struct condition *list;
	size_t count, room;
};

/* One run, and why its trace may not tell all of it (doubt.h); NULL: it does. */
struct defendant {
	struct trace *trace;
	const char *doubt;
};

/* Each judges one device of the run and puts a condition into the list. */
void judge_max_peak(const struct defendant *run, const struct device *device,
                    int64_t limit, struct conditions *conditions);
/* tolerance: in millionths of the baseline's peak. `other` NULL: it has no such device. */
void judge_baseline(const struct defendant *run, const struct device *device,
                    const struct defendant *baseline, const struct device *other,
                    int64_t tolerance, struct conditions *conditions);
void judge_no_leak(const struct defendant *run, const struct device *device,
                   struct conditions *conditions);
void judge_fits(const struct defendant *run, const struct device *device,
                const struct card *card, struct conditions *conditions);

/* What was judged from the condition `from` on is of this rank, whose trace is at path. */
void judge_of(struct conditions *conditions, size_t from, const char *rank,
              const char *path);

/* A condition of a run that has no device to be judged by. */
void judge_nothing(const char *name, struct conditions *conditions);

/* For judge.c, fits.c: adds a condition; the texts are taken. */
struct condition *judge_put(struct conditions *conditions, const char *name,
                            const struct device *device, enum judged judged,
                            char *reason);

/* 0: all passed; else the first that did not. */
const struct condition *judge_worst(const struct conditions *conditions);
void judge_free(struct conditions *conditions);

extern const char *const judge_names[];

/* A line each; of a job's ranks that pass a condition, the one with the most bytes stands for all. */
void judge_print(const struct conditions *conditions, FILE *out);
void judge_json(const struct conditions *conditions, struct json *json);
/* One test case for each, in a suite of this name. */
void judge_junit(const struct conditions *conditions, const char *name, FILE *out);
/* One line for each that did not pass: "::error file=…,line=…,title=…::…". */
void judge_github(const struct conditions *conditions, FILE *out);

#endif
