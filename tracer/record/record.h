/* record.h - what hooked threads put into their rings and the writer takes out.
 * The layout is private to one version of the library: a ring is finished by the version
 * that began it (ring.h keeps the number). All records are multiples of 8 bytes. */
#ifndef TIDEMARK_TRACER_RECORD_H
#define TIDEMARK_TRACER_RECORD_H

#include <stdint.h>

#include "ids.h"

enum tmk_kind {
	TMK_REC_ALLOC = 1,
	TMK_REC_FREE,
	TMK_REC_BOUNDARY,
	TMK_REC_SEGMENT, /* segment taken or given back, or a sample of free memory */
	TMK_REC_OOM,
	TMK_REC_POINTER, /* evidence: torch named an address */
	TMK_REC_THREAD,
	TMK_REC_PYFRAME, /* definitions: sent before their id is first used */
	TMK_REC_PYSTACK,
	TMK_REC_CSTACK,
	TMK_REC_MODULE,
	TMK_REC_SHAPE,
	TMK_REC_OP,
	TMK_REC_TENSOR,  /* a name from Python */
	TMK_REC_MODNAME, /* a dotted name for a module, from Python */
	TMK_REC_RUN,     /* a column of the run table */
	TMK_REC_META,
	TMK_REC_CAPABILITY,
	TMK_REC_LOST,
	TMK_REC_DEVICE,
	TMK_REC_END,         /* the process says goodbye */
	TMK_REC_OOM_MESSAGE, /* of the thread's last OOM */
	TMK_REC_SCOPE,       /* definition: a phase or bucket that the program named */
};

enum tmk_boundary {
	TMK_AT_FORWARD, /* first AccumulateGrad of an iteration: a trainable leaf is used */
	TMK_AT_BACKWARD, /* the outermost Engine::execute begins */
	TMK_AT_BACKWARD_END,
	TMK_AT_STEP, /* the outermost Optimizer.step begins */
	TMK_AT_STEP_END,
	TMK_AT_ZERO_GRAD,
	TMK_AT_ZERO_GRAD_END,
	TMK_AT_DATA, /* a data loader is asked for the next batch */
	TMK_AT_DATA_END,
	TMK_AT_MARK, /* tidemark_step(): the program says that a step ends here */
	TMK_AT_END,
	TMK_AT_CLOSURE /* in a step, outside any backward: a node is made */
};

struct tmk_record {
	uint32_t size; /* of the whole record */
	uint16_t thread;
	uint8_t kind;
	uint8_t code; /* kind's own: tmk_boundary, tensor kind, ... */
	uint64_t seq; /* dense, over all threads: the order of events */
	uint64_t tick;
};

struct tmk_device_id {
	int8_t type;  /* c10::DeviceType: 0 cpu, 1 cuda */
	int8_t index; /* -1 counts as 0 */
};

enum { TMK_EVENT_GRAD_MODE = 1, TMK_EVENT_ASYNC = 2, TMK_EVENT_NO_TOTAL = 4 };

struct tmk_rec_event { /* ALLOC, FREE */
	struct tmk_record head;
	uint64_t ptr;
	int64_t bytes;      /* the block */
	uint64_t allocated; /* the allocator's own totals after the event */
	uint64_t reserved;
	uint8_t phase;
	uint8_t flags;
	struct tmk_device_id device;
	uint32_t op;       /* ALLOC from here on; FREE records end at op */
	int64_t requested; /* bytes the tensor needs; -1 not known */
	uint32_t python, native, module, shape;
	uint32_t scope, pad;
};

struct tmk_rec_boundary {
	struct tmk_record head; /* code: tmk_boundary */
	uint8_t create_graph, accumulate;
	uint8_t keep;   /* a backward: its graph is kept for another one */
	uint8_t inside; /* a step: it runs inside a backward */
	uint32_t
	        module; /* a forward, a step: the module whose call it began in, or 0 */
};

enum tmk_segment_code {
	TMK_SEGMENT_TAKEN,
	TMK_SEGMENT_GIVEN,
	TMK_SEGMENT_SAMPLE,
	TMK_SEGMENT_MAPPED /* address: the handle, bytes: the address it has from now on */
};

struct tmk_rec_segment {
	struct tmk_record head; /* code: tmk_segment_code */
	uint64_t address;
	uint64_t bytes;
	uint64_t free_bytes, total_bytes; /* cudaMemGetInfo; total 0: not asked */
	struct tmk_device_id device;
	uint8_t host;
	uint8_t pad[5];
	char call[24];
};

struct tmk_rec_oom {
	struct tmk_record head;
	int64_t requested;
	uint64_t allocated, reserved, free_bytes, total_bytes;
	struct tmk_device_id device;
	uint8_t phase, flags;
	uint32_t op, python, native, module, shape;
	uint32_t scope, pad;
	char source[24];
	char message[]; /* NUL-terminated, padded */
};

enum tmk_scope_kind {
	TMK_SCOPE_NONE, /* keeps a place, so that its end finds its begin; never recorded */
	TMK_SCOPE_PHASE,
	TMK_SCOPE_BUCKET
};

enum tmk_pointer_code { TMK_POINTER_PARAMETER, TMK_POINTER_GRADIENT };

struct tmk_rec_pointer {
	struct tmk_record head; /* code: tmk_pointer_code */
	uint64_t ptr;
};

struct tmk_rec_thread {
	struct tmk_record head;
	uint32_t tid, pad;
	char name[16];
};

struct tmk_rec_pyframe {
	struct tmk_record head;
	uint32_t id;
	int32_t line;
	char text[]; /* function NUL file NUL, padded */
};

struct tmk_rec_stack { /* PYSTACK: frame ids; CSTACK: program counters */
	struct tmk_record head;
	uint32_t id;
	uint32_t depth;
	uint64_t frame[]; /* innermost first */
};

struct tmk_rec_text { /* MODULE, OP, MODNAME, RUN, META, CAPABILITY, LOST, DEVICE, SCOPE */
	struct tmk_record head;
	uint32_t id;
	uint32_t extra; /* SCOPE: the one around it, 0: none */
	uint64_t
	        address; /* MODULE, MODNAME; DEVICE: total bytes; LOST: count; SCOPE: kind */
	char text[]; /* NUL-terminated strings one after the other, padded */
};

#define TMK_MAX_DIMS 8
struct tmk_rec_shape {
	struct tmk_record head;
	uint32_t id;
	int8_t dtype; /* c10::ScalarType */
	uint8_t dims; /* more than TMK_MAX_DIMS are cut */
	uint8_t pad[2];
	int64_t size[TMK_MAX_DIMS];
};

enum tmk_tensor_kind {
	TMK_TENSOR_PARAMETER,
	TMK_TENSOR_BUFFER,
	TMK_TENSOR_GRADIENT,
	TMK_TENSOR_OPTIMIZER,
	TMK_TENSOR_KINDS
};

struct tmk_rec_tensor {
	struct tmk_record head; /* code: tmk_tensor_kind */
	uint64_t ptr;
	int64_t bytes;
	struct tmk_device_id device;
	uint8_t trainable;
	uint8_t pad[5];
	char text[]; /* name NUL shape NUL dtype NUL, padded */
};

struct tmk_rec_end {
	struct tmk_record head;
	int32_t status;
	uint32_t known;
};

#define TMK_ALIGN8(n) (((n) + 7u) & ~7u)

#endif
