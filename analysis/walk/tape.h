/* tape.h - a training step as PyTorch's autograd runs it: tensors that are taken and given back,
 * one after the other, by a model of PyTorch's caching allocator.
 *
 * A tensor is named by a number, as Python names it by a variable. The one who makes it holds it
 * and lets go of it; what a backward needs is held by the tape. Source:
 * torch/csrc/autograd/engine.cpp, PyTorch 2.1 to 2.15: nodes run in the reverse of the order in which they were made; a node's gradient and what
 * it saved go when it has run; a second gradient for one tensor is added in place where nobody
 * else holds the first. */
#ifndef TIDEMARK_ANALYSIS_TAPE_H
#define TIDEMARK_ANALYSIS_TAPE_H

#include <stdbool.h>
#include <stdint.h>

enum tape_phase {
	TAPE_SETUP,
	TAPE_FORWARD,
	TAPE_BACKWARD,
	TAPE_RECOMPUTE, /* a checkpoint's second forward */
	TAPE_CLIP,
	TAPE_OPTIMIZER,
	TAPE_PHASES
};

enum tape_bucket {
	TAPE_PARAMETER,
	TAPE_GRADIENT,
	TAPE_STATE,
	TAPE_ACTIVATION,
	TAPE_TEMPORARY,
	TAPE_WORKSPACE,
	TAPE_BUCKETS
};

/* The most at once, of allocated bytes as PyTorch counts them. */
struct tape_peak {
	int64_t bytes;
	int64_t bucket[TAPE_BUCKETS]; /* what stood then */
	enum tape_phase phase;
};

struct tape_totals {
	struct tape_peak peak;               /* of all since the last tape_mark() */
	struct tape_peak phase[TAPE_PHASES]; /* of each phase */
	int64_t reserved;                    /* the most that was asked of the device */
	bool refused;                        /* the device had not enough */
};

typedef int32_t tensor_id;
enum { NO_TENSOR = -1 };

struct tape;

/* capacity: of the device, for an allocator with its pools and segments (INT64_MAX: no end). 0: no
 * allocator, bytes are rounded and added up, which is faster and knows no reserved bytes. */
struct tape *tape_new(int64_t capacity);
void tape_free(struct tape *tape);

void tape_phase(struct tape *tape, enum tape_phase phase);
int64_t tape_allocated(const struct tape *tape); /* bytes, now */
/* The CUDA stream of what is made from now on: each has pools of its own. 0 is the first. */
void tape_stream(struct tape *tape, int stream);
/* The totals so far; and begin to count them anew. */
struct tape_totals tape_read(const struct tape *tape);
void tape_mark(struct tape *tape);

/* The bytes of the two libraries' workspaces. */
void tape_workspaces(struct tape *tape, int64_t cublas, int64_t cublaslt);

/* A tensor without a history. Where a weight is used twice, its gradients are added up; of matmuls
 * in the weight's own width they are views, which are not added to in place. A weight is a leaf:
 * its gradient stays until tape_zero_grad(). */
tensor_id tape_make(struct tape *tape, int64_t bytes, enum tape_bucket bucket);
tensor_id tape_weight(struct tape *tape, int64_t bytes, bool trained);
/* tensor.requires_grad_(): asks for the gradient of one that no weight that is trained went into;
 * of one such tensor at a time. The gradient stays until it is dropped. */
/* A weight whose gradient comes in another order than it lies in itself: it is copied. */
void tape_copy_gradient(struct tape *tape, tensor_id weight);
void tape_ask_gradient(struct tape *tape, tensor_id v);
void tape_drop_asked(struct tape *tape);
void tape_zero_grad(struct tape *tape);

tensor_id tape_hold(struct tape *tape, tensor_id v); /* the same, held once more */
void tape_let(struct tape *tape, tensor_id v);
bool tape_wants_grad(const struct tape *tape, tensor_id v);
int64_t tape_bytes(const struct tape *tape, tensor_id v);

/* How an input gets its gradient in the backward. */
enum give {
	GIVE_NONE,
	GIVE_NEW,  /* a new tensor of grad[i] bytes */
	GIVE_SAME, /* the gradient of the result itself, or a view of it */
	GIVE_SUM, /* made at the result's size, then summed up or cast to grad[i] bytes */
	GIVE_ROWS /* the gradient of the result itself, summed up over its rows */
};

enum { OP_INPUTS = 4, OP_SAVES = 8, OP_TEMPS = 4 };

/* Whose workspace an operator takes, for each thread, when it first runs there: the forward's, and
 * the backward's. cuBLASLt's matmuls take both libraries'. Source: getCUDABlasWorkspace and
 * _getWorkspace in aten/src/ATen/cuda/CUDABlas.cpp. */
enum tape_library { LIBRARY_NONE, LIBRARY_CUBLAS, LIBRARY_CUBLASLT };

struct op {
	tensor_id in[OP_INPUTS];
	enum give give[OP_INPUTS];
	int64_t grad[OP_INPUTS];
	tensor_id saves[OP_SAVES];
	int inputs, save_count;
	int64_t wide; /* bytes at the result's size, for GIVE_SUM */
	/* Bytes that its backward holds beside all it makes: before its gradients; after them, of which
	 * the first come and go by themselves; and while the smallest input gets a sum. */
	int64_t before[OP_TEMPS], passing, after[OP_TEMPS], summing;
	enum tape_library library; /* what its kernels are of */
	bool last_first;           /* the last input gets its gradient first */
	bool viewed; /* in[0] gets a view of what is made, which is not added to in place */
};

/* The result of an operator, a new tensor of so many bytes; or a view of `of`. Nothing is saved,
 * and there is no node, where no input wants a gradient. */
tensor_id tape_result(struct tape *tape, const struct op *op, int64_t bytes);
tensor_id tape_view(struct tape *tape, const struct op *op, tensor_id of);

/* The node of a tensor that was made already; and one more that the node of a result saves: the
 * result itself. */
void tape_record(struct tape *tape, const struct op *op, tensor_id result);
void tape_save_result(struct tape *tape, tensor_id result);

/* Parts of one tensor (split, chunk): views whose gradients become one of its size. */
void tape_split(struct tape *tape, tensor_id whole, int count, tensor_id *parts);

/* Checkpointed: `layer` runs without saving anything, and once more in the backward. */
typedef tensor_id tape_layer(struct tape *tape, void *context, tensor_id input);
tensor_id tape_checkpoint(struct tape *tape, tape_layer *layer, void *context,
                          tensor_id input);

/* What the backward calls when it comes to this place, between the nodes of what was recorded after
 * and before. Nothing where nothing is recorded. */
typedef void tape_action(void *context);
void tape_hook(struct tape *tape, tape_action *action, void *context);

/* A weight whose memory is given back and taken again, while its tensor stays: bytes, that it takes
 * then. And one whose gradient goes. */
void tape_empty(struct tape *tape, tensor_id weight);
void tape_refill(struct tape *tape, tensor_id weight, int64_t bytes);
void tape_drop_gradient(struct tape *tape, tensor_id weight);

/* The backward from a scalar; lets go of it. */
void tape_backward(struct tape *tape, tensor_id loss);

/* A 16-bit copy of a weight under autocast, made once until tape_autocast_ends(). */
tensor_id tape_cast_weight(struct tape *tape, tensor_id weight, int64_t bytes);
void tape_autocast_ends(struct tape *tape);

#endif
