/* phase.c - boundaries and the phase of the moment.
 * Called from: wrap_*.c on the hooked thread; torch calls scope_begins and scope_ends.
 * The innermost thing that is open on the thread decides: a step inside a backward is the
 * optimizer, a backward or a forward inside a step (a closure) is just that. In a step the
 * hook can't tell the optimizer's own work from its closure's forward: an optimizer may
 * leave gradients on. That is left open for the writer, which learns it from what closes
 * the stretch: a backward begins, or the step ends. */
#include "phase.h"

#include <stdatomic.h>
#include <string.h>

#include "emit.h"
#include "gradmode.h"
#include "hot.h"
#include "latch.h"
#include "look.h"
#include "real.h"
#include "record.h"
#include "scope.h"
#include "session.h"
#include "settings.h"
#include "stacks.h"

/* Counts ends of backwards and steps, of any thread. A thread's first node after one begins
 * a forward; where several threads train, that may say "forward" again in the middle of one,
 * which the writer knows by the thread. */
static TMK_HOT_DATA _Atomic uint32_t forwards_over;

/* Where nodes can't be seen: on CUDA they run on a thread that cannot see what the thread
 * that called backward(create_graph=True) set for itself. */
static TMK_HOT_DATA atomic_int creating_graph;

static bool graph_task(void)
{
	if (tmk_real.graph_task)
		return tmk_real.graph_task() != -1;
	return tmk_real.graph_nodes && tmk_real.graph_nodes();
}

/* Works this thread for a backward? Torch is asked only where it may. */
static inline bool in_graph_task(const struct tmk_doing *p)
{
	if (p->in_node)
		return true;
	if (!p->in_execute && !p->of_engine &&
	    atomic_load_explicit(&tmk_engine_found, memory_order_relaxed))
		return false;
	return graph_task();
}

/* Nothing of ours is open that says where we are, or only an execute. */
static inline uint8_t outside(const struct tmk_doing *p, bool grad)
{
	if (in_graph_task(p))
		return grad && !tmk_real.evaluate && !atomic_load(&creating_graph)
		               ? TMK_RECOMPUTE
		               : TMK_BACKWARD;
	if (p->top == TMK_IN_EXECUTE)
		return TMK_BACKWARD;
	/* What we cannot know the program may have said. */
	return tmk_scope_phase();
}

TMK_HOT uint8_t tmk_phase_now(bool *grad_mode)
{
	bool grad = tmk_gradmode();
	const struct tmk_doing *p = &tmk_doing;
	*grad_mode = grad;
	switch (p->top) {
	case TMK_IN_NODE:
		/* The engine runs nodes with gradients as create_graph says; a checkpoint
		 * switches them on again to recompute. */
		return grad && !p->node_grad ? TMK_RECOMPUTE : TMK_BACKWARD;
	case TMK_IN_STEP:
		return TMK_OPEN_IN_STEP;
	case TMK_IN_ZERO_GRAD_OF:
		return TMK_ZERO_GRAD;
	case TMK_IN_LOADER:
		return TMK_DATA;
	default:
		return outside(p, grad);
	}
}

static void boundary(struct tmk_boundary_at at)
{
	if (!tmk_is_active() || !tmk_enter())
		return;
	if (at.code == TMK_AT_STEP || at.code == TMK_AT_FORWARD)
		at.module = tmk_module_now();
	tmk_emit_boundary_at(at);
	tmk_leave();
}

static TMK_COLD void note_trainer(void)
{
	if (!in_graph_task(&tmk_doing)) /* else a thread of the engine, recomputing */
		tmk_note_trainer();
}

/* The generation tells a child from its parent, whose forward it is not. It is never 0. */
static inline uint64_t this_forward(void)
{
	return (uint64_t)atomic_load_explicit(&tmk_generation, memory_order_relaxed)
	               << 32 |
	       atomic_load_explicit(&forwards_over, memory_order_relaxed);
}

static TMK_COLD void forward_begins(struct tmk_doing *p, uint64_t forward)
{
	if (in_graph_task(p))
		return;
	p->forward = forward;
	boundary((struct tmk_boundary_at){.code = TMK_AT_FORWARD});
	tmk_look_forward();
}

TMK_HOT void tmk_phase_forward(void)
{
	struct tmk_doing *p = &tmk_doing;
	if (__builtin_expect(!p->noted, 0))
		note_trainer();
	/* What a program computes on the CPU before it comes to a traced device opens none. */
	if (p->top == TMK_IN_NOTHING) {
		uint64_t forward = this_forward();
		if (__builtin_expect(p->forward != forward, 0) && tmk_is_active())
			forward_begins(p, forward);
	} else if (p->top == TMK_IN_STEP && !p->closure && tmk_is_active()) {
		p->closure = true;
		boundary((struct tmk_boundary_at){.code = TMK_AT_CLOSURE});
	}
}

/* ---- scopes that torch opens for its profiler, USER scope ---------------------------- */

static uint8_t kind_of(const char *name)
{
	static const struct {
		const char *prefix;
		uint8_t kind;
	} scopes[] = {
	        {"Optimizer.step#", TMK_IN_STEP},
	        {"Optimizer.zero_grad#", TMK_IN_ZERO_GRAD_OF},
	        {"enumerate(DataLoader)#", TMK_IN_LOADER},
	};
	for (size_t i = 0; name && i < sizeof(scopes) / sizeof(*scopes); i++)
		if (!strncmp(name, scopes[i].prefix, strlen(scopes[i].prefix)))
			return scopes[i].kind;
	return TMK_IN_NOTHING;
}

static void opens(uint8_t kind)
{
	struct tmk_doing *p = &tmk_doing;
	const bool outermost = !p->open[kind];
	const struct tmk_boundary_at at = {.code = kind == TMK_IN_STEP ? TMK_AT_STEP
	                                           : kind == TMK_IN_ZERO_GRAD_OF
	                                                   ? TMK_AT_ZERO_GRAD
	                                                   : TMK_AT_DATA,
	                                   .inside = p->in_execute || in_graph_task(p)};
	if (outermost)
		boundary(at);
	if (p->scopes < TMK_SCOPES_KEPT) {
		p->scope[p->scopes].kind = kind;
		p->scope[p->scopes].below = p->top;
		p->top = kind;
		p->open[kind]++;
	}
	p->scopes += p->scopes < UINT8_MAX;
	p->closure = false;
}

/* std::unique_ptr<ObserverContext> start(const RecordFunction &): returned through the
 * hidden first argument; an empty one is a null pointer. */
static void *scope_begins(void *result, const void *function)
{
	*(void **)result = NULL;
	const char *label = tmk_real.scope_name(function), *name;
	enum tmk_scope_kind kind = tmk_scope_parse(label, &name);
	if (kind != TMK_SCOPE_NONE)
		tmk_scope_push(tmk_scope_owner(label), kind, name);
	uint8_t opened = kind_of(label);
	if (opened)
		opens(opened);
	return result;
}

/* The innermost of this kind ends; a generator's may do so out of turn. */
static bool take_scope(struct tmk_doing *p, uint8_t kind)
{
	if (p->scopes > TMK_SCOPES_KEPT) { /* one too deep to be kept */
		p->scopes--;
		return false;
	}
	int i = p->scopes;
	while (i && p->scope[i - 1].kind != kind)
		i--;
	if (!i)
		return false; /* opened before the library looked */
	if (i == p->scopes)
		p->top = p->scope[i - 1].below;
	else
		p->scope[i].below = p->scope[i - 1].below;
	memmove(&p->scope[i - 1], &p->scope[i],
	        (size_t)(p->scopes - i) * sizeof(*p->scope));
	p->scopes--;
	p->open[kind]--;
	return true;
}

static atomic_bool stepped_inside;

static void closes(uint8_t kind)
{
	struct tmk_doing *p = &tmk_doing;
	if (!take_scope(p, kind) || p->open[kind])
		return;
	const struct tmk_boundary_at at = {.code = kind == TMK_IN_STEP ? TMK_AT_STEP_END
	                                           : kind == TMK_IN_ZERO_GRAD_OF
	                                                   ? TMK_AT_ZERO_GRAD_END
	                                                   : TMK_AT_DATA_END,
	                                   .inside = p->in_execute || in_graph_task(p)};
	if (kind == TMK_IN_STEP && !at.inside)
		atomic_fetch_add(&forwards_over, 1);
	boundary(at);
	if (kind == TMK_IN_STEP && at.inside) /* one look for the many of a backward */
		atomic_store(&stepped_inside, true);
	else if (kind == TMK_IN_STEP)
		tmk_look_step();
}

static void scope_ends(const void *function, void *context)
{
	(void)context;
	const char *label = tmk_real.scope_name(function), *name;
	if (tmk_scope_parse(label, &name) != TMK_SCOPE_NONE)
		tmk_scope_pop(tmk_scope_owner(label));
	uint8_t opened = kind_of(label);
	if (opened)
		closes(opened);
}

/* A callback that torch keeps makes it build its lists of callbacks anew twice at every node
 * of a backward (ThreadLocalStateGuard sets them). So it is kept only until the constructor
 * of a scope has come by here, which shows that it does; from then on each scope is given
 * the callback for itself. */
enum { USER_SCOPE = 7 }; /* at::RecordScope::USER_SCOPE */
enum { NOT_INSTALLED, KEPT, GIVEN, UNKNOWN };
static atomic_int callback_is = NOT_INSTALLED; /* changed under CALLBACK */
static uint64_t kept_callback;                 /* at::CallbackHandle */

static struct tmk_record_callback callback(void)
{
	struct tmk_record_callback c = {.start = (void *)scope_begins,
	                                .end = (void *)scope_ends,
	                                .probability = 1.0};
	c.scopes[USER_SCOPE] = true;
	return c;
}

void tmk_phase_install(void)
{
	if (!tmk_real.add_global_callback || !tmk_real.scope_name)
		return;
	tmk_latch(TMK_LATCH_CALLBACK);
	if (atomic_load(&callback_is) == NOT_INSTALLED) {
		kept_callback = tmk_real.add_global_callback(callback());
		atomic_store(&callback_is, KEPT);
	}
	tmk_unlatch(TMK_LATCH_CALLBACK);
}

static bool scope_needs_callback(void)
{
	if (!tmk_real.add_thread_callback || !tmk_real.remove_callback)
		return false;
	/* While another thread forks it stays, and tells of this scope. */
	if (atomic_load(&callback_is) == KEPT && tmk_latch_try(TMK_LATCH_CALLBACK)) {
		if (atomic_load(&callback_is) == KEPT) {
			tmk_real.remove_callback(kept_callback);
			atomic_store(&callback_is, GIVEN);
		}
		tmk_unlatch(TMK_LATCH_CALLBACK);
	}
	return atomic_load(&callback_is) == GIVEN;
}

static void callback_ends(const uint64_t *handle)
{
	if (*handle)
		tmk_real.remove_callback(*handle);
}

/* It copies the callbacks of the moment into the scope, which calls them to its end. */
void _ZN2at14RecordFunctionC1ENS_11RecordScopeE(void *self, int8_t kind)
{
	uint64_t handle __attribute__((cleanup(callback_ends))) = 0;
	if (kind == USER_SCOPE && scope_needs_callback())
		handle = tmk_real.add_thread_callback(callback());
	tmk_real.scope_made(self, kind);
}

/* What other threads of the parent had open is nobody's here. The callback is torch's, which
 * may be in the middle of a change if fork() could not wait for it: then it is left alone. */
void tmk_phase_forked(uint32_t missing)
{
	if (missing >> TMK_LATCH_CALLBACK & 1)
		atomic_store(&callback_is, UNKNOWN);
	atomic_store(&creating_graph, 0);
	atomic_store(&stepped_inside, false);
	tmk_scope_forked();
}

/* ---- optimizers of the C++ frontend --------------------------------------------------- */

void tmk_phase_step(bool begins)
{
	(begins ? opens : closes)(TMK_IN_STEP);
}

void tmk_phase_zero_grad(bool begins)
{
	(begins ? opens : closes)(TMK_IN_ZERO_GRAD_OF);
}

/* ---- the autograd engine ------------------------------------------------------------- */

struct executing {
	bool create, outermost, accumulate, keep;
	uint8_t top; /* what was innermost */
};

static void execute_ends(struct executing *e)
{
	struct tmk_doing *p = &tmk_doing;
	int n = atomic_load(&creating_graph);
	while (e->create && n &&
	       !atomic_compare_exchange_weak(&creating_graph, &n, n - 1))
		; /* a child has none of its parent's */
	p->in_execute--;
	p->top = e->top;
	p->closure = false;
	if (!e->outermost)
		return;
	tmk_scope_backward(false);
	if (!p->open[TMK_IN_STEP])
		atomic_fetch_add(&forwards_over, 1);
	boundary((struct tmk_boundary_at){.code = TMK_AT_BACKWARD_END,
	                                  .create_graph = e->create,
	                                  .accumulate = e->accumulate,
	                                  .keep = e->keep});
	if (atomic_load_explicit(&stepped_inside, memory_order_relaxed) &&
	    atomic_exchange(&stepped_inside, false))
		tmk_look_step();
	else
		tmk_look_backward(e->accumulate);
}

/* A reentrant checkpoint calls execute on a device thread, whose own counter is 0: the
 * graph task around it tells that it is not the outermost. */
struct tmk_vector
_ZN5torch8autograd6Engine7executeERKSt6vectorINS0_4EdgeESaIS3_EERKS2_IN2at6TensorESaIS9_EEbbbS7_(
        void *self, const void *roots, const void *inputs, bool keep, bool create,
        bool accumulate, const void *outputs)
{
	struct tmk_doing *p = &tmk_doing;
	struct executing e __attribute__((cleanup(execute_ends))) = {
	        create, !p->in_execute && !in_graph_task(p), accumulate, keep, p->top};
	if (!p->noted)
		note_trainer();
	if (e.outermost) {
		boundary((struct tmk_boundary_at){.code = TMK_AT_BACKWARD,
		                                  .create_graph = create,
		                                  .accumulate = accumulate,
		                                  .keep = keep});
		tmk_scope_backward(true);
	}
	p->in_execute++;
	p->top = TMK_IN_EXECUTE;
	atomic_fetch_add(&creating_graph, create);
	return tmk_real.execute(self, roots, inputs, keep, create, accumulate, outputs);
}
