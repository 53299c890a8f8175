/* flow.h - a run from its first event to its last, one act at a time, folded steps in full.
 * Memory is bounded by what is alive at one instant, whatever the length of the run. */
#ifndef TIDEMARK_ANALYSIS_FLOW_H
#define TIDEMARK_ANALYSIS_FLOW_H

#include "trace.h"

enum act_kind {
	ACT_STEP,  /* a step begins; end_ns is its end */
	ACT_PHASE, /* a phase begins; it lasts to the next one, or to its step's end */
	ACT_TAKEN, /* a block is handed out */
	ACT_GIVEN,
	ACT_SEGMENT_TAKEN, /* PyTorch's allocator takes memory from the device */
	ACT_SEGMENT_GIVEN,
	ACT_REFUSED, /* bytes: asked for; device_free */
};

struct act {
	enum act_kind kind;
	int64_t step, time_ns, end_ns;
	int32_t device; /* index into trace->devices; -1: of none */
	int64_t address, bytes;
	int64_t requested;    /* -1: not known */
	int64_t site, bucket; /* ids; -1: not known */
	int64_t phase;
	int64_t allocated; /* of its device, after it: of blocks that have rows */
	int64_t reserved;  /* of its device, after it: of segments that were recorded */
	bool expandable;   /* of a segment: a piece of one that grows */
	bool lone; /* a block that lies in no segment: none was recorded, or of a folded step */
	int64_t device_free; /* -1: not known */
};

struct flow;
typedef void flow_visit(void *context, const struct act *act);

/* Acts of the steps from..to are visited; those before are told silently. */
struct flow *flow_new(struct trace *trace, int64_t from, int64_t to);
void flow_run(struct flow *flow, flow_visit *visit, void *context);
void flow_outline(struct flow *flow, flow_visit *visit,
                  void *context); /* steps, phases alone */
void flow_free(struct flow *flow);

/* After the run: what is alive, segments first (ACT_SEGMENT_TAKEN), then blocks (ACT_TAKEN), each
 * in order of device and address. */
void flow_alive(struct flow *flow, flow_visit *visit, void *context);

/* The most that a device's blocks took together in the steps that were visited. */
int64_t flow_peak(const struct flow *flow, size_t device);

struct flow_doubts {
	int64_t moved; /* blocks of folded steps that were given an address of their own */
	int64_t unpaired; /* frees of folded steps whose block was not found */
	int64_t thinned;  /* steps that have lost their rows */
};
struct flow_doubts flow_doubts(const struct flow *flow);

/* Addresses from here on are made up: where a folded step's is taken already. */
#define FLOW_MADE_UP ((int64_t)1 << 50)

#endif
