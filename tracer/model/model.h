/* model.h - the recorder's picture of the run: which step and phase it is in, what is
 * alive, what happened since the step began. Fed with records in their order by the writer
 * or by a recovery; writes to the store when a step ends. One thread. */
#ifndef TIDEMARK_TRACER_MODEL_H
#define TIDEMARK_TRACER_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "grow.h"
#include "live.h"
#include "names.h"
#include "record.h"
#include "store.h"

enum { TMK_MAX_DEVICES = TMK_ORDER_WIDE };

enum tmk_rule {
#define RULE(name, bucket, evidence, what) TMK_RULE_##name,
#include "rules.def"
#undef RULE
	TMK_RULES
};

struct tmk_ev { /* one allocation or free of the running step */
	int64_t ns;
	int64_t bytes; /* > 0 birth, < 0 death */
	uint64_t ptr;
	int64_t requested;
	int64_t allocated; /* of its device, after it */
	int64_t reserved;
	uint32_t python, native, module, op, shape, scope;
	uint32_t site;   /* birth: set when the step ends */
	uint32_t died;   /* birth: 1 + ordinal of its death in this step, 0: alive */
	uint32_t target; /* death: index of the birth in ev, or index into carried */
	uint16_t thread;
	uint8_t device;
	uint8_t phase;    /* TMK_OPEN until the boundary that closes the stretch */
	uint8_t flags;    /* TMK_EVENT_* */
	uint8_t evidence; /* birth that died: what its live entry had gathered */
	uint8_t named;
	uint8_t bucket, rule;
	uint8_t carried; /* death of something born before ev[0] */
};

struct tmk_phase_state { /* of one device in the running step */
	int64_t peak;
	uint32_t events;
};
struct tmk_device_state {
	struct tmk_device_id id;
	char name[16];
	int64_t allocated, reserved; /* running, the allocator's own where it tells */
	int64_t drift;         /* the allocator's total less ours, at the last event */
	int64_t drift_ns;      /* since when it is that, */
	uint32_t drift_events; /* ... and for how many events */
	int64_t start_allocated, start_reserved; /* when the step began */
	uint64_t free_bytes, total_bytes;
	int64_t sampled_reserved; /* at the last memory_sample row */
	int64_t segments; /* bytes taken from the driver and not given back, as far as seen */
	/* of the running step, for the events that were written */
	int64_t peak, peak_reserved, peak_ns, peak_ordinal;
	uint8_t peak_phase;
	bool seen, active; /* ever; in this step */
	struct tmk_phase_state phase[TMK_PHASES];
	int64_t run_peak;
	uint32_t run_peak_step;
	int64_t held[TMK_BUCKETS]; /* of the blocks we saw, when the step began */
};

/* The most that each bucket of one device held in each phase of the running step. */
struct tmk_most {
	int64_t of[TMK_PHASES][TMK_BUCKETS];
	int64_t now[TMK_BUCKETS];
	uint8_t phase; /* of the last event; TMK_OPEN: none yet */
};

enum tmk_lost_code {
	TMK_LOST_RING_FULL,
	TMK_LOST_RING_FULL_OTHER,
	TMK_LOST_GAP,
	TMK_LOST_UNMATCHED,
	TMK_LOST_TWICE,
	TMK_LOST_MISMATCH,
	TMK_LOST_BEFORE,
	TMK_LOST_THINNED,
	TMK_LOST_MEMORY,
	TMK_LOST_MEMORY_OTHER,
	TMK_LOST_CODES
};

struct tmk_patterns;

/* What one thread's boundaries have said of its training loop. Events are counted over the
 * whole run here: tmk_model_index gives their place in ev. */
struct tmk_loop {
	uint64_t open_from; /* from here on its events may be without a phase */
	uint64_t step_from; /* the running Optimizer.step's first */
	uint64_t
	        node_from; /* ... and the first after a node was made in it; UINT64_MAX: none */
	int64_t graph_bytes; /* made in forwards and alive when the last backward began */
	uint32_t step_module; /* the module whose call the step was begun in */
	uint32_t backwards;   /* that ended since a step of its own did, */
	uint32_t waited;      /* ... or anybody's that may have used them */
	uint16_t home;   /* the thread whose forward the backward on this one is of */
	uint16_t runner; /* ... and on which the last one of its own forwards ran */
	uint8_t way;     /* enum tmk_way */
	bool trains;     /* it has had a boundary at all */
	bool stepped;    /* ... and an Optimizer.step of its own */
	bool forward_open, backward_since_step;
	bool in_step, closure; /* inside Optimizer.step; it ran a backward itself */
	bool step_grad;        /* its optimizer works with gradients on */
	bool accumulate, keep; /* the last backward: into .grad; its graph was kept */
	bool dropped;          /* gradients were freed since its step began */
	bool learns;           /* it has had a backward of a forward of its own */
	bool stepped_inside; /* an Optimizer.step ran inside a backward on this thread */
	bool each;           /* by forward: each backward has a step of its own */
	bool drops;          /* ... or gradients are dropped when a step is over */
	bool waits; /* not known, and no longer held back for: an optimizer may step yet */
	bool given; /* the backward that just ended gave its gradients to its caller */
};

/* What ends a step: an Optimizer.step(), or, where there is none, that the next forward
 * begins. */
enum tmk_way { TMK_BY_WHAT, TMK_BY_OPTIMIZER, TMK_BY_FORWARD };

struct tmk_key { /* of a live allocation */
	uint64_t ptr;
	uint8_t device;
};

struct tmk_keys {
	struct tmk_key *key;
	uint32_t count, capacity;
};

struct tmk_model {
	struct tmk_store *store;
	struct tmk_names *names;
	struct tmk_live_table live;
	struct tmk_patterns *patterns;
	/* Live allocations that may need attention, so that a step's work does not grow
	 * with what is alive: born in this step or without a row yet. Keys, since entries
	 * move; some are of allocations that have died since. */
	struct tmk_keys unwritten;
	struct tmk_keys
	        candidates; /* given to AccumulateGrad in the running backward */

	struct tmk_device_state device[TMK_MAX_DEVICES];
	struct tmk_most most[TMK_MAX_DEVICES];
	int devices;

	struct tmk_ev *ev; /* the running step's, by ordinal minus flushed */
	uint32_t events, capacity;
	uint32_t flushed;         /* events of this step that were written already */
	struct tmk_live *carried; /* born before ev[0], died in ev */
	uint32_t carried_count, carried_capacity;
	uint32_t *backward_at; /* ordinals at which an outermost backward began */
	uint32_t backward_count, backward_capacity;
	uint32_t *oom_at; /* ... at which memory ran out */
	uint32_t oom_count, oom_capacity;

	struct { /* the segment that was given back last, until the look after it */
		uint64_t address;
		uint8_t device;
		bool known; /* what its allocator holds since */
	} given;

	uint32_t step;
	int64_t step_start_ns, last_ns;
	uint32_t micro_steps;
	bool setup_over;
	bool backward_since_step; /* on any thread */
	bool forward_unsure; /* the first one, opened outside any module: a wrapper may have */
	bool python_named; /* Python has told its parameters */
	bool by_marks;     /* the program says itself where steps end */

	struct tmk_loop *loop; /* by thread */
	uint32_t loops;
	uint16_t last_forward;         /* the thread that began one last, */
	uint16_t last_loop;            /* ... and that had a boundary last */
	uint32_t complete, by_forward; /* steps that ended; ... with the next forward */
	bool optimizer_known, python_looked; /* Python has one; has looked for one */
	uint16_t held_thread;    /* whose boundary is being held back for, */
	bool held_backward;      /* a backward that stepped inside it, */
	uint32_t held_backwards; /* and how many have ended meanwhile */
	bool held_drop;          /* ... gradients were given up, */
	uint32_t held_rounds;    /* ... by so many zero_grads, each after a backward */
	bool held_round;         /* a backward has ended since the last of them */
	uint32_t most_micro; /* backwards of a step that an optimizer ended, at most */
	bool weights_known; /* the sizes below are those of what is trained: no guess */
	/* sets of hashes: the bytes that gradients need; ... those that Python has named */
	struct {
		uint64_t gradient[512], named[512];
	} sizes;
	bool sizes_grew;   /* since they were saved */
	int64_t unnamed;   /* the most that lived without a name when a step ended */
	bool unnamed_grew; /* ... by more than batches differ: what is it? */

	uint32_t longest;    /* events of the longest complete step so far */
	int64_t first_row;   /* the running step's, of what was written; 0: none */
	bool zero_grad_told; /* of the first: where it was called */
	uint32_t spans;
	uint8_t last_phase;
	uint64_t total_events;
	uint64_t lost[TMK_LOST_CODES];
	uint32_t since_size_check;
	bool thin_only;     /* the file is as large as it may get */
	bool no_more_loops; /* for want of memory */
	bool ended;
	int exit_status;
	bool exit_known;
};

struct tmk_model *tmk_model_new(struct tmk_store *store, bool recovered);
void tmk_model_free(struct tmk_model *m);

/* One record, `ns` after the run began. */
void tmk_model_apply(struct tmk_model *m, const struct tmk_record *r, int64_t ns);

/* Is this the boundary at which a step may end? What comes until it is clear is held back
 * by the writer. Asked when `r` was applied. */
bool tmk_model_step_may_end(struct tmk_model *m, const struct tmk_record *r);
/* ... and if so, does `r` end the holding: 1 the step has ended, 0 go on holding, -1 it goes on */
int tmk_model_ends_hold(const struct tmk_model *m, const struct tmk_record *r);

/* Asked before `r` is applied: does it begin a forward of which only what follows tells
 * whether a step ended before it? Then it is held back, with what follows. */
bool tmk_model_must_wait(struct tmk_model *m, const struct tmk_record *r);
/* True when `r` tells. The model then knows, and what was held is applied in its order. */
bool tmk_model_tells(struct tmk_model *m, const struct tmk_record *r);
/* ... when no more can be held. */
void tmk_model_decide(struct tmk_model *m, bool at_end);

/* step.c: writes the running step and starts the next one; complete: Optimizer.step()
 * ended it. The caller commits. */
void tmk_model_end_step(struct tmk_model *m, bool complete);
/* ... writes what there is of it; it cannot be folded any more, and goes on. */
void tmk_model_flush(struct tmk_model *m);
/* Is the running step longer than one that is worth keeping in memory to fold it? */
bool tmk_model_is_long(const struct tmk_model *m);
/* thin.c: keeps the file below TIDEMARK_MAX_SIZE. */
void tmk_model_thin(struct tmk_model *m);
/* What recovery must know that is not in the tables. Before each commit. */
void tmk_model_save(struct tmk_model *m);
void tmk_model_reload(struct tmk_model *m);
/* Everything has been applied: last step, losses, end of run. */
void tmk_model_finish(struct tmk_model *m, const char *ended);

/* segment.c: memory taken from the driver or given back, or a look at what is free */
void tmk_model_segment(struct tmk_model *m, const struct tmk_rec_segment *r,
                       int64_t ns);
/* Reserved memory changed: the totals at this moment become a row. reserved: TMK_NULL where
 * the allocator has not said it; free_known: the device's last word on that is this moment's. */
void tmk_model_sample(struct tmk_model *m, struct tmk_device_state *d, int64_t ns,
                      int64_t reserved, bool free_known);

/* loop.c: a boundary; what is known of a thread; where an event counted over the run is */
void tmk_model_boundary(struct tmk_model *m, const struct tmk_rec_boundary *r);
struct tmk_loop *tmk_model_loop(struct tmk_model *m, uint16_t thread);
bool tmk_model_trains(const struct tmk_model *m, uint16_t thread);
uint32_t tmk_model_index(const struct tmk_model *m, uint64_t event);
/* ends.c: a forward begins: has a step ended before it? */
bool tmk_model_forward_ends_step(struct tmk_model *m, struct tmk_loop *l);
/* ... how much of what the forwards of the running step made is alive? */
int64_t tmk_model_graph_bytes(const struct tmk_model *m);
/* A step has ended of which an optimizer or the program says so. */
void tmk_model_use_up(struct tmk_model *m);
/* A column of run from Python: is there an optimizer, has it looked for one? */
void tmk_model_python_says(struct tmk_model *m, const struct tmk_rec_text *r);
/* At the end of a run without Optimizer.step: is its last step over, too? */
bool tmk_model_last_is_over(const struct tmk_model *m);
/* Does this thread's loop end its steps where the next forward begins? One that has not
 * shown how does what any other does; any: is there such a loop? */
bool tmk_model_goes_by_forward(const struct tmk_model *m, uint16_t thread);
bool tmk_model_any_by_forward(const struct tmk_model *m);
/* The trace says how many of its steps ended that way. */
void tmk_model_say_by_forward(struct tmk_model *m);

/* label.c: names the open events of a thread, and of those that only work for others, by the
 * boundary that closes the stretch; own: the thread's alone */
void tmk_model_label(struct tmk_model *m, uint16_t thread, enum tmk_boundary closer,
                     bool own);
/* ... those of all threads, when a step ends */
void tmk_model_label_rest(struct tmk_model *m);
/* The phase of an out-of-memory that is still open. */
uint8_t tmk_model_phase_of_oom(struct tmk_model *m, const struct tmk_rec_oom *r);

/* update.c: how far in [from, events) a thread has updated its weights without
 * Optimizer.step: the index behind the last event of it */
uint32_t tmk_model_update_until(const struct tmk_model *m, uint16_t thread,
                                uint32_t from);
/* ... and is this event, that lies before that, part of it? */
bool tmk_model_updates(const struct tmk_model *m, const struct tmk_ev *e);
/* The sizes of gradients, which are those of what is trained: one more; is this one? */
void tmk_model_add_gradient(struct tmk_model *m, int64_t bytes, bool named);
bool tmk_model_gradient_sized(const struct tmk_model *m, int64_t bytes);
/* ... of a parameter, as far as Python has named any: a batch may have a gradient, too */
bool tmk_model_parameter_sized(const struct tmk_model *m, int64_t bytes);
/* Those of a backward on this thread that gave them to its caller and ended at ev[ended]. */
void tmk_model_gradients_given(struct tmk_model *m, uint16_t thread, uint32_t ended);
/* most.c: how much each bucket holds, phase by phase. The step begins; an event of it,
 * whose bucket and phase are settled; a block that is counted already changed its bucket. */
void tmk_most_begin(struct tmk_model *m);
void tmk_most_event(struct tmk_model *m, const struct tmk_ev *e);
void tmk_most_moved(struct tmk_model *m, const struct tmk_live *l, uint8_t from,
                    uint8_t to);
/* What the step's rows are, and what of a step that equals `pattern`'s differs. */
void tmk_most_write(struct tmk_model *m);
void tmk_most_write_folded(struct tmk_model *m, const int64_t (*pattern)[TMK_BUCKETS]);

/* classify.c: bucket and rule of a birth in ev, by its ordinal */
void tmk_model_classify(struct tmk_model *m, struct tmk_ev *e, uint32_t ordinal);
/* ... and of a live allocation whose evidence changed after its row was written */
void tmk_model_reclassify(struct tmk_model *m, struct tmk_live *l);
/* Python has named what it knows: what setup left and nobody named is data. */
void tmk_model_review_setup(struct tmk_model *m);
/* ... and what it left and the first steps gave back was their batch. */
void tmk_model_setup_dies(struct tmk_model *m, struct tmk_live *l);

/* The i-th of those without a row, NULL if it is gone. */
struct tmk_live *tmk_model_unwritten(struct tmk_model *m, uint32_t i);
void tmk_model_add_unwritten(struct tmk_model *m, struct tmk_live *l);
/* ... one more that was given to AccumulateGrad, and whose backward has not returned */
void tmk_model_add_candidate(struct tmk_model *m, struct tmk_live *l);

/* evidence.c: an address that torch named, a tensor that Python named */
void tmk_model_pointer(struct tmk_model *m, const struct tmk_rec_pointer *r);
void tmk_model_named(struct tmk_model *m, const struct tmk_rec_tensor *r);
/* What ev[from] and later made in `phase` and is alive now has `evidence` (TMK_EV_*). */
void tmk_model_mark_alive(struct tmk_model *m, uint32_t from, int phase,
                          uint8_t evidence);
/* The outermost backward has returned: candidates that are still there are gradients. */
void tmk_model_judge_candidates(struct tmk_model *m);

/* CPU: do the allocator's totals differ from ours by more than a matter of order? */
bool tmk_model_drifts(const struct tmk_device_state *d);

/* A thread that was kept waiting between a CPU tensor and its report has reported by then. */
enum { TMK_KEPT_WAITING_NS = 2000000000 };

struct tmk_device_state *tmk_model_device(struct tmk_model *m, struct tmk_device_id id);
/* Its name as PyTorch says it, "cuda:0". Returns the kind of device, "cuda". */
const char *tmk_model_device_name(struct tmk_device_id id, char *name, size_t size);

#endif
