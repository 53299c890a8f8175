/* diff.h - two runs beside each other on one device each: at the peak, and step by step. */
#ifndef TIDEMARK_ANALYSIS_DIFF_H
#define TIDEMARK_ANALYSIS_DIFF_H

#include "changes.h"

/* Steps in a row whose peaks differ by as much, or by as much more with every step. */
struct range {
	int64_t from, to;
	int64_t first, last;      /* B less A in peak bytes, in those two steps */
	int64_t rate;             /* more with every step; 0: as much in each */
	int64_t bucket[BUCKETS];  /* B less A in what each held at most, in `to` */
	int64_t phase_a, phase_b; /* of the peak, in `to` */
	bool told;                /* changes were looked for */
	struct changes changes;   /* at the peak of `to` */
	bool as_peak;             /* they are those of the run's peak */
};

struct diff {
	struct side a, b;
	struct point peak_a, peak_b;
	struct changes changes;                       /* at the peaks */
	int64_t bucket_a[BUCKETS], bucket_b[BUCKETS]; /* at the peaks */
	int64_t unseen_a, unseen_b;                   /* of no bucket */
	struct range *ranges;
	size_t range_count, range_room;
	int64_t shared;           /* steps that both have */
	int64_t alone_a, alone_b; /* complete steps that the other has not */
};

/* step -1: at the peaks of the runs; else at those of that step in both. false, and nothing to be
 * freed: one of the devices has no peak there. */
bool diff_make(struct trace *a, const struct device *on_a, struct trace *b,
               const struct device *on_b, int64_t step, struct diff *diff);
void diff_free(struct diff *diff);

/* top: changes, and stretches of steps, on the screen. */
void diff_print(const struct diff *diff, int64_t top, FILE *out);
void diff_json(const struct diff *diff, struct json *json);

/* For diff.c: compares the steps that both have. */
void ranges_make(struct diff *diff);

#endif
