/* attempt.h - one run of the training script on a simulated card. */
#ifndef TIDEMARK_ANALYSIS_ATTEMPT_H
#define TIDEMARK_ANALYSIS_ATTEMPT_H

#include <stdbool.h>
#include <stdint.h>

#include "db.h"

struct attempt {
	const char *python, *script; /* the program, and the file that it runs */
	const char *card;            /* a name for `simulate --gpu` */
	int64_t memory;              /* of the card, in bytes */
	int64_t limit;               /* seconds */
	int64_t world;               /* devices, of which it poses as the first */
	const char *keep;            /* where its trace goes; NULL: with all the rest */
	const char *doing;           /* what is shown while it runs */

	/* What came of it. The caller frees all of it with attempt_free(). */
	struct db *db; /* in which result is read */
	char *result;  /* what the script said, as JSON */
	char *trace;   /* the file */
	bool ran_out;
	char *where; /* ran_out: in which step and phase, and what was asked for */
	int64_t reserved, used;
	char *bound; /* "exact", or "lower" where sizes came from values that nobody computed */
};

/* Ends the program with one sentence where the training neither ended nor ran out of memory:
 * status 2 where nothing could be started, 3 where it failed or took too long. */
void attempt_run(struct attempt *attempt);
void attempt_free(struct attempt *attempt);

#endif
