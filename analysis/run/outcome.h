/* outcome.h - what a run on a simulated card came to, and what it says of other cards. */
#ifndef TIDEMARK_ANALYSIS_OUTCOME_H
#define TIDEMARK_ANALYSIS_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

#include "assumptions.h"
#include "frames.h"
#include "json.h"
#include "profile.h"
#include "with.h"

enum fit {
	FITS,
	DOES_NOT_FIT,
	NO_ANSWER, /* the program failed for another reason, or used no device */
};

struct outcome {
	const struct profile *card;
	const struct profile *based_on; /* the card that was run; NULL: this one */
	enum fit fit;
	bool ran;        /* false: the program was not run for this card */
	int status;      /* the program's own */
	bool no_trace;   /* it never allocated device memory through PyTorch */
	int64_t total;   /* of the card */
	int64_t outside; /* of it, what other processes hold */

	/* Of the device, and the process, that came closest to its end. */
	char *device, *phase, *trace; /* NULL where there is no trace */
	int64_t step, allocated, reserved, used;

	bool ran_out;
	int64_t requested; /* what it could not have */
	int64_t live;      /* allocated at that moment */
	struct line line;  /* of the user's code, then */
	int64_t caught;    /* OOMs after which it went on */

	struct assumptions assumptions;
};

/* Reads the traces that a run left and what the simulator logged. */
void outcome_read(struct outcome *outcome, char **files, size_t count,
                  const struct simulator_log *log);
void outcome_free(struct outcome *outcome);

/* It fits, and what is left over is less than what is not known to the byte. */
bool outcome_barely(const struct outcome *outcome);

/* What a run on one card says of another. false: only a run can tell. */
bool outcome_derive(const struct outcome *run, const struct profile *card,
                    struct outcome *outcome);

/* The verdict on the screen, what to type next, and the verdict as JSON. */
void outcomes_print(const struct outcome *outcomes, size_t count, FILE *out);
void outcomes_next(const struct outcome *first, FILE *out);
void outcomes_json(const struct outcome *outcomes, size_t count,
                   const struct with *with, FILE *out);

#endif
