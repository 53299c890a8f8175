/* look.h - a run that goes on, as one look sees it: what its trace has committed, and what its
 * ring says since. Nothing is locked, copied, finished or changed. */
#ifndef TIDEMARK_ANALYSIS_LOOK_H
#define TIDEMARK_ANALYSIS_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "now.h"
#include "trace.h"

enum { LOOK_DEVICES = 64 };

/* What `leaks` would say of the steps so far; it costs more than a look and is asked less
 * often. Its steps say how old it is. */
struct leak {
	bool known; /* there were steps enough to tell */
	int64_t rate, from,
	        to;   /* bytes a step, between these complete steps; 0: no leak */
	int64_t full; /* the step that will not fit; -1: not known or never */
};

struct leaks {                           /* the process that asks for them: leaks.c */
	int64_t child, since_ns, due_ns; /* child 0: none; times: CLOCK_MONOTONIC */
	int from;                        /* where its answer comes; -1 */
	int64_t asked; /* the last complete step that it was asked about */
};

struct watched {
	int64_t id; /* in the trace; -1: the trace has no row of it yet */
	char name[40], product[80];
	int64_t total;               /* bytes of the card; -1: not known */
	int64_t allocated, reserved; /* bytes; -1: not known */
	int64_t at_ns; /* when they were so, since the run began; -1: not known */
	int64_t outside; /* bytes in use that are not PyTorch's, by the newest sample; -1 */
	int64_t headroom; /* bytes that PyTorch could still hand out; -1: not known */
	int64_t peak;     /* bytes, over the finished steps and the looks so far */
	int64_t counted;  /* the last step that is in it */
	double fraction;  /* of the card that PyTorch may take */
	/* By bucket, in the last finished step: as it began, and the most that it held. */
	int64_t began[BUCKETS], most[BUCKETS];
	bool bucketed;
	bool in_ring; /* its ring has said both totals */
	struct leak leak;
};

struct look {
	char *path, *library;
	char why[512]; /* why the ring cannot be read; "": it was */
	enum glance state;
	bool simulated; /* its pace is this machine's, not a card's */
	bool stopped;   /* the run goes on, its tracing does not */
	char *ended; /* 'exit', 'killed', 'stopped', as the trace says; NULL: it has not */
	char *script, *host;
	int64_t pid, rank; /* -1: not known */
	int64_t started_unix_ns, now_ns, schema;
	int64_t exit_status; /* -1: not known */
	int64_t step;        /* the last finished step; -1: none */
	int64_t last_ns;     /* when it ended */
	int64_t complete;    /* the last step with an Optimizer.step(); 0: none */
	int64_t milli_rate; /* thousandths of a step a second, over the newest; -1: not known */
	int64_t phase; /* -1: not known before it ends */
	int64_t lost;  /* events for which no ring had room */
	struct watched device[LOOK_DEVICES];
	size_t devices;
	int64_t cost_ns; /* what the last look took */
	struct leaks leaks;
	char glance[GLANCE_TEXT];
};

/* A look at the trace at path, which it takes; nothing is read yet. */
struct look *look_new(char *path);
void look_free(struct look *look);

/* Looks. false, with a sentence in why, where the file is no trace that can be read. Ends the
 * program with status 3 where it is damaged. */
bool look_now(struct look *look, char *why, size_t size);

/* NULL where there are more devices than room. */
struct watched *look_device(struct look *look, const char *name);

/* Does the run go on, as far as is known? */
bool look_goes_on(const struct look *look);

/* The phase's name; NULL: not known. */
const char *look_phase(const struct look *look);
const char *look_bucket(int64_t bucket);

/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t look_clock(void);

#endif
