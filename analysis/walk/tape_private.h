/* tape_private.h - what a tape consists of. For tape.c and backward.c alone. */
#ifndef TIDEMARK_ANALYSIS_TAPE_PRIVATE_H
#define TIDEMARK_ANALYSIS_TAPE_PRIVATE_H

#include <stddef.h>

#include "tape.h"

struct storage {
	int64_t bytes, asked; /* as the allocator counts it; as it was asked for */
	int32_t holders, block;
	uint8_t bucket;
	bool viewed; /* its tensor is a view */
};

struct tensor {
	int64_t bytes; /* its own, of a view too */
	int32_t storage, node, leaf;
	int16_t part; /* of its node's results */
	bool grad;
};

enum { PARTS = 4 };

struct node {
	struct op op;
	int32_t saves[OP_SAVES]; /* storages */
	int32_t gradient[PARTS]; /* storages; -1 */
	int save_count, parts;
	bool again; /* of a second forward: what it saved goes when it has read it */
	int64_t packed; /* of a checkpoint: what its layer saves */
	/* ... and the gradient that nodes behind the last of it make, before it runs again */
	int64_t early;
	int64_t whole; /* of a split: bytes of the gradient that the parts' become */
	tape_layer *layer;   /* of a checkpoint */
	tape_action *action; /* of a hook, which is nothing else */
	void *context;
	int32_t input; /* its input's storage, held */
};

struct leaf {
	tensor_id weight;
	int32_t gradient; /* storage; -1 */
	int32_t kept;     /* that of the backwards before; -1 */
	int uses;         /* nodes whose gradient of it is still to come */
	tensor_id cast;   /* under autocast; NO_TENSOR */
	bool trained, was_cast;
	bool copied; /* its gradient comes in another order than it lies in */
};

struct tape {
	struct allocator *allocator; /* NULL: sums alone */
	struct storage *storages;
	size_t storage_count, storage_room;
	int32_t *spare; /* storages that are gone */
	size_t spare_count, spare_room;
	struct tensor *tensors;
	size_t tensor_count, tensor_room;
	struct node *nodes;
	size_t node_count, node_room;
	struct leaf *leaves;
	size_t leaf_count, leaf_room;
	int64_t allocated, bucket[TAPE_BUCKETS];
	enum tape_phase phase;
	int stream;
	int64_t workspace[2]; /* cuBLAS, cuBLASLt */
	bool took[2][2];      /* in the forward's thread, in the backward's */
	struct tape_totals totals;
	bool silent;    /* nothing is recorded: the forward of a checkpoint */
	int64_t packed; /* tensors saved so far, or that would have been */
	int64_t early;  /* a new gradient of a node behind the last that saves */
	int64_t wanted; /* of a second forward, which ends with the last of them; -1 */
	bool stopped;   /* it has: what is made from now on takes nothing */
	int32_t caught; /* the gradient of a checkpoint's input, or of what was asked for; -1 */
};

/* Storages: a new one, held once; held once more; let go of; counted elsewhere. */
int32_t storage_take(struct tape *tape, int64_t bytes, enum tape_bucket bucket);
int32_t storage_hold(struct tape *tape, int32_t storage);
void storage_let(struct tape *tape, int32_t storage);
void storage_empty(struct tape *tape, int32_t storage);
void storage_fill(struct tape *tape, int32_t storage, int64_t bytes);
void storage_becomes(struct tape *tape, int32_t storage, enum tape_bucket bucket);

/* Takes the workspaces of an operator that runs now, where they are still to be taken. */
void workspaces_take(struct tape *tape, enum tape_library library);

tensor_id tensor_new(struct tape *tape, struct tensor tensor);

#endif
