/* formula.h - the four buckets of training memory, computed from a model and a training
 * configuration: Total = parameters + gradients + optimizer state + activations.
 *
 * Nothing here reads a file, prints or ends the program: `plan` predicts with it and
 * whoever compares a measured run with the formula calls the same functions. All
 * results are exact bytes; an overflow is an error, never a wrong number. */
#ifndef TIDEMARK_ANALYSIS_FORMULA_H
#define TIDEMARK_ANALYSIS_FORMULA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cards.h"
#include "model.h"

enum dtype {
	DTYPE_NONE, /* the bucket isn't there */
	DTYPE_FP32,
	DTYPE_BF16,
	DTYPE_FP16,
	DTYPE_FP8,
	DTYPE_INT8,
	DTYPE_NF4, /* 4 bits and a scale for every 64 of them */
	DTYPE_COUNT
};

enum precision {
	PRECISION_FP32,
	PRECISION_BF16, /* model.to(bfloat16): everything, states too */
	PRECISION_FP16,
	PRECISION_BF16_MIXED, /* torch.autocast: fp32 parameters, 16-bit matmuls */
	PRECISION_FP16_MIXED,
	PRECISION_COUNT
};

enum optimizer {
	OPTIMIZER_SGD,
	OPTIMIZER_SGD_MOMENTUM,
	OPTIMIZER_ADAM,
	OPTIMIZER_ADAMW,
	OPTIMIZER_ADAM8BIT,
	OPTIMIZER_ADAFACTOR,
	OPTIMIZER_LION,
	OPTIMIZER_MUON,
	OPTIMIZER_COUNT
};

/* How a step of PyTorch's goes over the weights. */
enum implementation {
	IMPLEMENTATION_FOREACH, /* PyTorch's own choice, where it has it */
	IMPLEMENTATION_FUSED,
	IMPLEMENTATION_FOR_LOOP,
	IMPLEMENTATION_COUNT
};

/* Does PyTorch have its step in all of these ways? */
bool optimizer_has_ways(enum optimizer optimizer);

enum checkpoint {
	CHECKPOINT_NONE,
	CHECKPOINT_FULL,
	CHECKPOINT_SELECTIVE,
	CHECKPOINT_SQRT,
	CHECKPOINT_COUNT
};

enum attention { ATTENTION_MATH, ATTENTION_FLASH, ATTENTION_COUNT };

enum offload { OFFLOAD_NONE, OFFLOAD_OPTIMIZER, OFFLOAD_PARAMS, OFFLOAD_COUNT };

/* Which activation formula; docs/formula.md derives each. */
enum activations {
	ACTIVATIONS_TORCH,       /* what autograd saves, tensor by tensor */
	ACTIVATIONS_KORTHIKANTI, /* sbh (34 + 5 as/h) per layer */
	ACTIVATIONS_NOTES,       /* 8 BSD + BHS^2 elements per layer */
	ACTIVATIONS_ROUGH,       /* 3 BSDL elements */
	ACTIVATIONS_COUNT
};

extern const char *const dtype_names[DTYPE_COUNT];
extern const char *const precision_names[PRECISION_COUNT];
extern const char *const optimizer_names[OPTIMIZER_COUNT];
extern const char *const implementation_names[IMPLEMENTATION_COUNT];
extern const char *const checkpoint_names[CHECKPOINT_COUNT];
extern const char *const attention_names[ATTENTION_COUNT];
extern const char *const offload_names[OFFLOAD_COUNT];
extern const char *const activations_names[ACTIVATIONS_COUNT];

int dtype_bits(enum dtype dtype);
/* Of a dtype of whole bytes. */
static inline int dtype_bytes(enum dtype dtype)
{
	return dtype_bits(dtype) / 8;
}

struct training {
	struct silicon silicon;
	enum dtype parameter, gradient, master, state;
	enum dtype activation; /* what matmuls produce */
	enum dtype residual;   /* the stream between layers: fp32 under autocast */
	bool autocast; /* 16-bit copies of the weights live with the activations */
	enum optimizer optimizer;
	enum implementation implementation;
	bool clip;          /* the gradients, by their norm */
	int64_t accumulate; /* batches before a step; 1 */
	bool loss_alone; /* the loop lets go of what the model gave beside its loss */
	int64_t target;  /* tokens of a target that follows a source; 0: as many */
	int64_t batch, seq; /* seq is read only where the model has a shape */
	enum checkpoint checkpoint;
	enum attention attention;
	enum activations activations;
	bool dropout;    /* the masks of a model trained with dropout are kept */
	bool no_dropout; /* and it is not asked to be trained without */
	int zero;        /* ZeRO stage, 3 is FSDP's full shard too */
	int64_t world;
	enum offload offload;
	int64_t lora_rank;       /* 0: no adapters made from the shape */
	unsigned lora_targets;   /* bits of enum lora_target */
	int64_t lora_parameters; /* adapters given by their size instead */
	enum dtype adapter;
	bool double_quant;
	bool inference;
	int64_t sample_bytes;    /* activations of one sample, given; -1: by formula */
	int64_t sample_elements; /* the same, counted in elements; -1 */
	int64_t overhead_ppm; /* factor on the total in millionths, 1000000 is none */
};

/* What torch really does for a precision, with AdamW, batch 1 and no sharding. */
void training_default(struct training *training, enum precision precision);
void training_precision(struct training *training, enum precision precision);

enum formula_bucket {
	FORMULA_PARAMETER,
	FORMULA_GRADIENT,
	FORMULA_OPTIMIZER,
	FORMULA_ACTIVATION,
	FORMULA_OVERHEAD,
	FORMULA_HOST, /* in host memory: never part of the total */
	FORMULA_BUCKETS
};
extern const char *const formula_bucket_names[FORMULA_BUCKETS];

/* The terms that somebody may want to know again; terms.def. */
enum term_id {
	TERM_OTHER, /* a weight's: parameters, gradients, states; overhead */
#define TERM(id, name) TERM_##id,
#include "terms.def"
#undef TERM
};

struct formula_term {
	enum formula_bucket bucket;
	enum term_id id;
	bool temporary; /* alive only around the peak, not all through the step */
	int64_t bytes;
	char name[48];
	char formula[96];  /* "2 B × N" */
	char numbers[120]; /* the same with numbers put in */
	const char *source;
};

enum { FORMULA_TERMS = 40 };

struct formula {
	int64_t parameters; /* all of them, adapters included, before sharding */
	int64_t trainable;
	int64_t bucket[FORMULA_BUCKETS];
	int64_t total; /* of this device */
	struct formula_term terms[FORMULA_TERMS];
	int count;
	bool overflow;
	bool activations_known; /* false: no shape and no size given */
};

/* Of the matmul that this target's adapters stand beside, as PEFT finds it: where a model has one
 * for queries, keys and values, its adapters are q's; for gate and up, gate's. 0: no adapters. */
struct sides {
	int64_t in, out;
	int64_t ranks; /* so many ranks beside each other in one adapter; 0: one */
};
struct sides lora_sides(const struct shape *shape, const struct training *training,
                        enum lora_target target);

/* The same of one weight of the list. */
struct sides lora_sides_of(const struct shape *shape, const struct weight *weight,
                           const struct training *training);
/* Has any weight one? */
bool lora_has_any(const struct model *model, const struct training *training);
int64_t lora_rank_of(const struct sides *sides, const struct training *training);

/* Does PEFT put the adapters of gate, up and down on the experts' own tensors, and on nothing else? */
bool lora_is_of_experts(const struct shape *shape, const struct training *training);

/* 0, or -1 with one sentence in why (an overflow, an optimizer that needs shapes). */
int formula_compute(const struct model *model, const struct training *training,
                    struct formula *result, char *why, size_t size);

/* The largest batch whose total stays within bytes; 0 where not even one sample fits,
 * -1 where the total doesn't depend on the batch. */
int64_t formula_largest_batch(const struct model *model,
                              const struct training *training, int64_t bytes);

#endif
