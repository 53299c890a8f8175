/* doing.h - what a thread is doing: what is open on it, the node that it runs, the tensor that
 * it makes. Written by wrappers and phase.c, read where an event is recorded. */
#ifndef TIDEMARK_HOOKS_DOING_H
#define TIDEMARK_HOOKS_DOING_H

#include <stdbool.h>
#include <stdint.h>

/* What can be open on a thread. The innermost decides what an event is part of. */
enum tmk_opened {
	TMK_IN_NOTHING,
	TMK_IN_EXECUTE, /* Engine::execute, outside of any node */
	TMK_IN_NODE,
	TMK_IN_STEP, /* from here on: scopes, which have no frame of ours to keep what was open */
	TMK_IN_ZERO_GRAD_OF, /* zero_grad, of an optimizer */
	TMK_IN_LOADER,       /* a data loader is asked for a batch */
	TMK_OPENED
};

/* Scopes open at once on a thread; those too deep are counted, and end without a trace. */
enum { TMK_SCOPES_KEPT = 12 };

struct tmk_doing {      /* of one thread; initial-exec TLS */
	uint8_t top;    /* the innermost that is open: enum tmk_opened */
	bool node_grad; /* gradients were on when the innermost node began: create_graph */
	bool closure; /* a node was made in the innermost step since it or a backward */
	uint8_t scopes; /* open: STEP, ZERO_GRAD_OF, LOADER */
	struct {
		uint8_t kind, below; /* below: what was innermost when it opened */
	} scope[TMK_SCOPES_KEPT];
	uint8_t open[TMK_OPENED]; /* scopes of each kind, within those kept */
	int in_execute;
	uint64_t forward; /* the forward that this thread began last: see phase.c */
	uint64_t
	        torch_thread; /* at::RecordFunction::currentThreadId(), 0: not asked yet */
	/* the autograd node that runs here, until an allocation asks for its module and
	 * operator; then, and before the first, NULL */
	const char *node;
	uint32_t node_module, node_op;
	int in_node; /* nodes running here, one inside another */
	bool of_engine; /* a node has run here outside Engine::execute: a thread of the engine */
	/* the tensor about to be allocated, between empty_generic's begin and its first
	 * allocation */
	const int64_t *sizes, *strides;
	uint32_t dims;
	int8_t dtype;
	bool has_shape;
	/* the module met last, and its number in this generation of the process */
	const void *module, *module_type;
	uint32_t module_id, module_generation;
	bool noted; /* as a thread that trains: see tmk_main_alone_trains */
};

extern __thread struct tmk_doing tmk_doing __attribute__((tls_model("initial-exec")));

/* This thread builds a graph, or runs the engine, on its own account. */
void tmk_note_trainer(void);
/* Has no thread but the main one ever built a graph or run the engine, and does the engine
 * not run now? Asked on the main thread, holding the GIL. */
bool tmk_main_alone_trains(void);
/* In a forked child, of which no thread has trained yet. */
void tmk_doing_forked(bool main_forked);

#endif
