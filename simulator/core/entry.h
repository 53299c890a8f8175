/* entry.h - entry points without a function of their own, and how the generated
 * trampolines describe them. generate.py writes one record a symbol, in this layout. */
#ifndef TIDEMARK_SIMULATOR_ENTRY_H
#define TIDEMARK_SIMULATOR_ENTRY_H

#include <stdint.h>

enum tmksim_behaviour {
	TMKSIM_REFUSE, /* return the library's NOT_SUPPORTED, log once */
	TMKSIM_ACCEPT, /* nothing to do here: return success */
	TMKSIM_LAUNCH, /* a library's kernel: work on the handle's stream, success */
	TMKSIM_SET_STREAM,
	TMKSIM_GET_STREAM,
	TMKSIM_DESTROY, /* of a handle that such an entry point made */
	TMKSIM_TEXT,    /* returns a string: callers print what they get */
};

struct tmksim_entry {
	const char *library, *name;
	uint32_t refusal; /* the library's NOT_SUPPORTED */
	uint8_t behaviour;
	uint8_t outs; /* how many of these are used */
	struct {
		uint8_t argument,
		        kind; /* 'i' int, 's' size_t, 'h' handle; 128 + N: as many
					   ints as argument N says */
	} out[6];
	uint8_t seen;
	uint8_t pad[5];
};
_Static_assert(sizeof(struct tmksim_entry) == 40, "generate.py writes this layout");

struct tmksim_stream;

/* Handles that libraries hand out: cuBLAS, cuSOLVER, cuSPARSE, cuDNN... Their functions
 * know the stream by it. Large enough for descriptors that callers may embed. */
struct tmksim_handle {
	uint64_t mark;
	struct tmksim_stream *stream;
	int64_t state[30]; /* the library's own */
};
struct tmksim_handle *tmksim_handle_create(void);
void tmksim_handle_destroy(struct tmksim_handle *handle);
/* NULL if this is not one of our handles. */
struct tmksim_handle *tmksim_handle(void *handle);

/* Where every trampoline ends: `arguments` are the six integer registers, `stack` what
 * lies beyond. */
long tmksim_entry_called(struct tmksim_entry *entry, const long *arguments,
                         const long *stack);

#endif
