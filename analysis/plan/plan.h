/* plan.h - one question to `plan`: what is trained, how, and on which cards. */
#ifndef TIDEMARK_ANALYSIS_PLAN_H
#define TIDEMARK_ANALYSIS_PLAN_H

#include <stdio.h>

#include "cards.h"
#include "formula.h"
#include "measured.h"
#include "options.h"
#include "walk.h"

enum {
	PLAN_KINDS = 8,
	PLAN_CARDS = 96,
	PLAN_NOTES = 16,
	PLAN_LINE = 24,
	SWEEP_ROWS = 64
};

/* Does it fit a card? Open: the sum does, and what a step has at its peak is not known. */
enum fit { FIT_NO, FIT_YES, FIT_OPEN };

/* What a trace measured, and what is asked to be otherwise than there. */
struct traced {
	bool known;   /* a trace with a peak was read */
	bool changed; /* something is asked to be otherwise */
	int64_t peak, reserved,
	        step; /* allocated bytes; the most reserved, -1: not known */
	char phase[24], device[32];
	struct silicon silicon;   /* of the card it ran on */
	struct training training; /* as it was traced */
	bool batch_known, seq_known;
	int64_t scaled; /* the peak with another batch, by the step's own events; 0: none */
	int64_t line[PLAN_LINE]; /* and with 1, 2, 4, …, where there is one */
	bool walked;             /* the walk knows the traced training: */
	int64_t walk;            /* its peak, in bytes */
	int64_t walk_reserved;
};

/* One row of --sweep. */
struct sweep_row {
	int64_t value;          /* of the batch or the sequence */
	int64_t peak, reserved; /* bytes; the sum where no peak is known; -1 */
	int64_t total;          /* the sum of the buckets; -1: too large to count */
	const char *phase;      /* NULL: no walk knows it */
	/* a bit for each of the cards that were named, the first 64 */
	uint64_t fits, open;
};

struct sweep {
	enum { SWEEP_BATCH, SWEEP_SEQ } axis;
	int count; /* 0: none is asked for */
	struct sweep_row rows[SWEEP_ROWS];
};

struct plan {
	struct model model;
	struct training training;
	const char *precision; /* as it was named, or NULL */
	bool sequence_counts;  /* a sequence length makes sense here */
	struct card cards[PLAN_CARDS];
	int card_count;
	char *card_names;   /* what their names point into */
	bool cards_named;   /* by --gpu; otherwise all that are known */
	int64_t context;    /* bytes of each card that are not PyTorch's */
	bool context_given; /* by --context */
	bool unknown; /* a model that the formula does not know, to be measured alone */
	enum { MEASURE_NEVER, MEASURE_CAN, MEASURE_DOES } measure; /* by --measure */
	char *notes[PLAN_NOTES]; /* what was assumed, a sentence each */
	int note_count;
	struct formula formula;
	int64_t fixed, sample;     /* total = fixed + batch x sample */
	struct measured *measured; /* NULL: nothing was run */
	int64_t least; /* gradients are born as activations die: no less than this */
	struct traced traced;
	bool walked; /* the peak over time is known: walk is valid */
	struct walk walk;
	struct tape_peak
	        line[PLAN_LINE]; /* of batch 1, 2, 4, …: peaks, for the cards */
	int line_count;
	struct plan
	        *kinds[PLAN_KINDS]; /* the same for cards whose kernels are others */
	int kind_count;
	struct sweep sweep;
};

/* What is asked, from the options, and what the formula says to it. Both end the program
 * with status 2 and one sentence where the question makes no sense. */
void plan_read(struct plan *plan, const struct options *options);
void plan_compute(struct plan *plan);
void plan_free(struct plan *plan);

void plan_note(struct plan *plan, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

void plan_print(const struct plan *plan, bool explain, FILE *out);
void plan_json(const struct plan *plan, FILE *out);

/* The buckets and the cards as measured, beside the formula. Without --measure: not called. */
void plan_print_measured(const struct plan *plan, FILE *out);
int64_t measured_context(const struct plan *plan); /* on a card, in bytes */
void plan_json_measured(const struct plan *plan, struct json *json);

/* The same question for the kernels that run on this card: the plan itself, or one of its kinds. */
const struct plan *plan_on(const struct plan *plan, const struct card *card);

/* What is kept of a card for its CUDA context: --context, else a named card's own, else 512 MiB. */
int64_t plan_context(const struct plan *plan, const struct card *card);

/* What --gpu is left for PyTorch on a card, and the largest batch there (-1: any). */
int64_t plan_available(const struct plan *plan, const struct card *card);
int64_t plan_largest(const struct plan *plan, const struct card *card);
/* Bytes of a card that the largest batch leaves. A walk lists no ids of positions, no steps on the way
 * to a mask and no numbers of an optimizer: they are small, and one segment of each of the allocator's
 * pools has room for them. */
int64_t plan_unlisted_bytes(void);
/* What it needs of a card beside the context: reserved bytes at the peak where that is known, else
 * the sum; and whether it fits there, by what was not measured. */
int64_t plan_need(const struct plan *plan);
enum fit plan_fit(const struct plan *plan, const struct card *card);
/* Why there is no peak on some card, as a note that the caller frees; NULL: there is one on all. */
char *plan_gap(const struct plan *plan);
/* Do the options ask for a sum of the buckets? Then a card is judged by it. `why` (of `size`; NULL, 0:
 * none) gets the reason. */
bool plan_sum_is_asked(const struct plan *plan, char *why, size_t size);
/* Is a row's peak known, and no sum? */
bool plan_row_has_peak(const struct plan *plan, const struct sweep_row *row);

/* The peak over time, where the walk knows the training. */
void plan_peak(struct plan *plan);

/* Is the answer what was traced, with nothing changed? */
bool plan_as_traced(const struct plan *plan);
/* The peak that is predicted, in bytes; -1: none is. Of a changed trace, what the walk says more
 * or less of it than of the traced training is added to what was measured. */
int64_t plan_peak_bytes(const struct plan *plan);
/* What another training of the same model would take, and which of the named cards have it. */
void plan_try(const struct plan *plan, const struct training *training,
              struct sweep_row *row);

void plan_sweep_read(struct plan *plan, const struct options *options);
void plan_sweep(struct plan *plan);
void plan_sweep_print(const struct plan *plan, FILE *out);
void plan_sweep_json(const struct plan *plan, struct json *json);

extern const char *const plan_phase_names[TAPE_PHASES];

#endif
