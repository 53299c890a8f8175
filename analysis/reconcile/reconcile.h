/* reconcile.h - a run set against the formula: what was measured at the peak, what the
 * formula says of the same training, and a named cause for each byte between them.
 *
 * Both sides are lists of items. An item of the trace is a kind of block that was alive,
 * an item of the formula a tensor that it counts. What has the same size in the same
 * role is the same thing; whatever is left on either side is a cause, and so is what an
 * allocator adds to each block. Nothing is computed as a remainder, so that what no rule
 * names shows up as unexplained. */
#ifndef TIDEMARK_ANALYSIS_RECONCILE_H
#define TIDEMARK_ANALYSIS_RECONCILE_H

#include <stdio.h>

#include "formula.h"
#include "options.h"
#include "recognise.h"
#include "segments.h"
#include "site.h"
#include "trace.h"
#include "walk.h"

enum row_id { /* the buckets of schema.sql */
#define X(id, number, name) ROW_##id = number,
	      SCHEMA_BUCKETS(X)
#undef X
	              ROW_COUNT
};

/* What a tensor is for. Items are the same thing only within a role. */
enum item_role {
	IN_WEIGHT,    /* parameters, gradients, states: compared by their elements */
	IN_COUNTER,   /* an optimizer's step counters */
	IN_STREAM,    /* residual stream, norms, inputs of matmuls */
	IN_ATTENTION, /* q, k, v, scores, output */
	IN_FORWARD,   /* inside the feed-forward part */
	IN_LOSS,      /* logits and what the loss keeps */
	IN_COPY,      /* autocast's 16-bit copies of weights */
	IN_IDS,
	IN_NOTHING, /* the formula has no such thing */
};

/* Why the formula and the run differ: causes.def. */
enum cause_kind {
#define CAUSE(id, name, what) CAUSE_##id,
#include "causes.def"
#undef CAUSE
	CAUSES
};
extern const char *const cause_names[CAUSES];

struct item {
	enum row_id row;
	enum item_role role;
	int64_t bytes; /* of one, without what the allocator adds */
	int64_t elements;
	int64_t count;
	char *label;
	enum cause_kind
	        kind;   /* of what was measured: if the formula has no such thing */
	int64_t padded; /* bytes of one as a kernel may lay it out; 0: no other way */
	int64_t shared; /* bytes of them, flat buffers, that smaller items lie in */
	bool bare;      /* nothing says where it comes from */
};

struct items {
	struct item *items;
	size_t count, room;
};

struct cause {
	enum cause_kind kind;
	char *text;
	int64_t bytes;
	bool bare; /* it names no module, no operator and no reason */
};

struct row {
	int64_t measured, predicted;
	struct cause *causes; /* largest first */
	size_t count, room;
};

enum verdict_kind {
	VERDICT_NONE, /* nothing to judge: see why */
	VERDICT_AGREES,
	VERDICT_DISAGREES
};

enum verdict_basis {
	BASIS_NONE,
	BASIS_WALK,    /* a step gone through tensor by tensor */
	BASIS_INSTANT, /* the formula's tensors that stood at the measured instant */
};

enum { VERDICT_CAUSES = 3 };

/* Whether the formula's peak is within 5 % of the measured one. */
struct verdict {
	enum verdict_kind kind;
	enum verdict_basis basis;
	int64_t predicted;            /* bytes; -1: none */
	int64_t bucket[TAPE_BUCKETS]; /* of the walk, at its peak */
	struct {
		int row;
		char *text;
		int64_t bytes;
	} causes[VERDICT_CAUSES]; /* where it disagrees; largest first */
	int count;
};

struct reconciled {
	struct trace *trace;
	const struct device *device;
	struct point point;
	struct step step;
	struct sample sample;
	struct places places;
	struct formula formula;
	const struct recognised *recognised;
	struct items measured, expected;
	struct items freed, later; /* of this step: before and after the peak */
	struct row rows[ROW_COUNT];
	struct segment *segments; /* by address */
	size_t segment_count;
	int64_t unseen; /* allocated, and no row of the trace says by whom */
	int64_t unexplained;
	struct verdict verdict;
};

/* Recognises what was trained, as recognise.h; options say otherwise or add. Ends the program with
 * status 2 and one sentence where parameters can't be counted. device, point: its peak, whose
 * step's shapes are read. */
void reconcile_recognise(struct trace *trace, const struct options *options,
                         const struct device *device, const struct point *point,
                         struct recognised *recognised);

/* false: the device has no peak (in this step). */
bool reconcile(struct trace *trace, const struct device *device, int64_t step,
               const struct recognised *recognised, struct reconciled *result);
void reconciled_free(struct reconciled *result);

/* The parts of reconcile(), each in a file of its own. */
void reconcile_segments(struct reconciled *result); /* those of the peak */
void reconcile_measure(struct reconciled *result);  /* rows' measured, items */
void reconcile_absent(struct reconciled *result);   /* items freed, and made later */
void reconcile_around(struct reconciled *result);   /* cache and context */
void reconcile_expect(struct reconciled *result);   /* rows' predicted, items */
void reconcile_saved(struct reconciled *result);    /* those without a shape */
void reconcile_match(struct reconciled *result);    /* causes from the items */
void reconcile_judge(struct reconciled *result);    /* the verdict */

/* label becomes the list's. */
void items_add(struct items *items, struct item item);
void items_merge(struct items *items); /* alike ones become one, sorted by label */
/* The cause, until the next one is added. */
struct cause *row_cause(struct row *row, enum cause_kind kind, int64_t bytes,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));

/* A block that was alive: what it takes of its segment. */
void segment_use(struct reconciled *result, const struct block *block);

void reconcile_print(const struct reconciled *result, int64_t top, FILE *out);
void reconcile_json(const struct reconciled *result, struct json *json);

#endif
