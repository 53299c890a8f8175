/* emit.h - from a hook into this thread's ring. All of it runs on the hooked thread,
 * often under the caching allocator's lock: nothing here blocks on I/O, allocates, or
 * takes a lock, but for a thread's first event, which maps its ring. */
#ifndef TIDEMARK_TRACER_EMIT_H
#define TIDEMARK_TRACER_EMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "clock.h"
#include "record.h"
#include "ring.h"

enum tmk_state {
	TMK_IDLE, /* loaded, no file: until the first device event */
	TMK_STARTING,
	TMK_ACTIVE,
	TMK_FINISHED, /* everything is in the trace; hooks pass through */
	TMK_DISABLED  /* switched off, or failed and said so */
};

struct tmk_self {
	int guard; /* > 0: inside our own code */
	uint16_t thread;
	uint32_t generation; /* of the process the ring belongs to: see fork */
	struct tmk_ring *ring;
};

/* initial-exec: a global-dynamic access may call the allocator on a thread's first use,
 * inside a hook. */
extern __thread struct tmk_self tmk_self __attribute__((tls_model("initial-exec")));
extern _Atomic int tmk_state;
extern struct tmk_rings tmk_rings;
extern _Atomic bool tmk_unnamed_grew;   /* the writer met memory that has no name yet */
extern _Atomic uint32_t tmk_generation; /* counts forks: a child's differs */

/* Enter our own code: false when it is entered already (the call comes from inside a
 * hook) or the library is off; then just call the real function. */
static inline bool tmk_enter(void)
{
	if (tmk_self.guard)
		return false;
	int s = atomic_load_explicit(&tmk_state, memory_order_relaxed);
	if (s >= TMK_FINISHED)
		return false;
	tmk_self.guard = 1;
	return true;
}

static inline void tmk_leave(void)
{
	tmk_self.guard = 0;
}

static inline bool tmk_is_active(void)
{
	return atomic_load_explicit(&tmk_state, memory_order_acquire) == TMK_ACTIVE;
}

/* Called on a thread that ends, if it has emitted anything. Set by hooks/. */
extern void (*tmk_on_thread_exit)(void);

/* In a forked child: nothing of this thread's, or counted so far, is its parent's. */
void tmk_emit_forked(void);

/* Starts a record of `size` bytes (rounded up to 8): the header is filled, the event has
 * its place in the order. NULL when the event is lost (counted). tmk_end() commits it. */
void *tmk_begin(enum tmk_kind kind, uint8_t code, uint32_t size);

static inline void tmk_end(void *record)
{
	tmk_ring_commit(tmk_self.ring, ((struct tmk_record *)record)->size);
}

/* The header of a record that has its room. */
static inline void *tmk_stamp(char *room, enum tmk_kind kind, uint8_t code,
                              uint32_t size)
{
	struct tmk_record *r = (struct tmk_record *)room;
	r->size = size;
	r->thread = tmk_self.thread;
	r->kind = kind;
	r->code = code;
	r->seq = atomic_fetch_add_explicit(&tmk_rings.header->seq, 1,
	                                   memory_order_relaxed);
	r->tick = tmk_tick();
	return r;
}

/* tmk_begin for what comes a thousand times a step: a thread that has its ring, and room
 * in it, without a call. */
static inline void *tmk_begin_often(enum tmk_kind kind, uint8_t code, uint32_t size)
{
	struct tmk_ring *ring = tmk_self.ring;
	char *room = NULL;
	size = TMK_ALIGN8(size);
	if (__builtin_expect(ring && tmk_self.generation ==
	                                     atomic_load_explicit(&tmk_generation,
	                                                          memory_order_relaxed),
	                     1))
		room = tmk_ring_reserve(ring, size);
	return __builtin_expect(room != NULL, 1) ? tmk_stamp(room, kind, code, size)
	                                         : tmk_begin(kind, code, size);
}

/* False, and counted as lost: a record of that size has no room in any ring. */
bool tmk_fits_ring(size_t bytes);

/* Records made of strings: `n` of them, NULL counts as empty. All whole, or no record. */
void tmk_emit_text(enum tmk_kind kind, uint32_t id, uint32_t extra, uint64_t address,
                   int n, const char *const *text);
void tmk_emit_run(const char *column, const char *value);
void tmk_emit_run_number(const char *column, int64_t value);
void tmk_emit_meta(const char *key, const char *value);
void tmk_emit_capability(const char *name, const char *state, const char *why);
void tmk_emit_lost(const char *name, uint64_t count, const char *what);
/* What a boundary says; what does not belong to its code is 0: struct tmk_rec_boundary. */
struct tmk_boundary_at {
	uint8_t code; /* enum tmk_boundary */
	bool create_graph, accumulate, keep, inside;
	uint32_t module;
};
void tmk_emit_boundary_at(struct tmk_boundary_at at);
void tmk_emit_boundary(enum tmk_boundary at, bool create_graph, bool accumulate);

#endif
