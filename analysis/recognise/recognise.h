/* recognise.h - what was trained and how, as a trace tells it: by names and config, and by the
 * shapes and operators of the step that had the peak.
 *
 * A batch and a sequence are told by several things that know nothing of each other: the ids that
 * came in, the stream between layers, the rows of the loss. Where they differ, the pair is taken
 * whose training explains the bytes, and what was not taken is kept to be said. */
#ifndef TIDEMARK_ANALYSIS_RECOGNISE_H
#define TIDEMARK_ANALYSIS_RECOGNISE_H

#include "formula.h"
#include "trace.h"

enum claim_kind {
	CLAIM_IDS,    /* integers that came in, [B, S] */
	CLAIM_STREAM, /* what goes from layer to layer, [B, S, hidden] */
	CLAIM_INPUT,  /* of a model without a known shape: what came in, [B, ...] */
	CLAIM_KINDS
};

/* A batch and a sequence that a tensor's shape tells. */
struct claim {
	enum claim_kind kind;
	int64_t batch, seq; /* seq 0: it tells none */
	char from[96];      /* its shape and dtype */
	bool rows_agree;    /* the loss has B × S rows, or B × (S - 1) */
	int64_t peak; /* bytes that a training with it would have; -1: not worked out */
};

enum { CLAIMS = 6 };

struct recognised {
	struct model model;
	struct training training;
	const struct device *device; /* where the model is */
	char class[64];              /* the model's; "" where not known */
	char optimizer[64]; /* its class, as the run has it; "" where not known */
	char config[64];    /* where the shape is from; "" without one */
	char shapeless[512];
	int64_t tensors, trainable; /* parameters, counted as tensors and as elements */
	int64_t config_parameters;  /* elements, as the shape has them; 0: none */
	bool from_blocks;           /* no names: counted from the blocks themselves */
	bool by_states;             /* optimizer known by the states it keeps alone */
	bool batch_known, seq_known;
	char batch_from[96]; /* the shape that told */
	bool recompute;
	int64_t world;     /* devices of the job; 1 outside one */
	bool sharded;      /* the weights are this device's shards: FSDP */
	int64_t loss_rows; /* 0: no loss of rows was seen */
	struct claim claims[CLAIMS];
	int claim_count, taken; /* which of them was taken; -1: none */
};

/* The shape instead of the run's own, and what to call its source; NULL: its own. */
struct given_shape {
	const struct shape *shape;
	const char *source;
};

/* device, point: its peak, whose step's shapes are read. 0, or -1 with one sentence in why: a model
 * of which nothing can be counted. */
int recognise(struct trace *trace, const struct device *device,
              const struct point *point, const struct given_shape *given,
              struct recognised *recognised, char *why, size_t size);
void recognised_free(struct recognised *recognised);

/* The model and the training as a walk needs them: of shards, the whole model that they are of.
 * false: there is no shape of it. The model is the caller's, for model_free(). */
bool recognised_whole(const struct recognised *recognised, struct model *model,
                      struct training *training);

/* For recognise.c: the claims of a step, and which of them explains so many bytes. */
struct step_rows {
	struct trace *trace;
	int64_t device, first, last;
};
void claims_read(const struct step_rows *seen, struct recognised *recognised);
void claims_choose(struct recognised *recognised, int64_t measured);

#endif
