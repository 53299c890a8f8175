/* phase.c - boundaries and the phase of the moment.
 * Called from: wrap_*.c on the hooked thread; torch calls scope_begins and scope_ends.
 * DESIGN: recompute and backward outrank zero_grad, which outranks optimizer, which
 * outranks forward; a closure's forward and backward inside a step are just that. */
#include "phase.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "emit.h"
#include "gradmode.h"
#include "hot.h"
#include "real.h"
#include "record.h"
#include "scope.h"
#include "session.h"
#include "settings.h"
#include "stacks.h"
#include "late.h"

__thread struct tmk_place tmk_place __attribute__((tls_model("initial-exec")));

/* Process-wide: on CUDA the nodes run on a device thread that cannot see what the thread
 * that called backward(create_graph=True) set for itself. */
static TMK_HOT_DATA atomic_int creating_graph;
static TMK_HOT_DATA atomic_bool forward_open;

static bool graph_task(void)
{
	if (tmk_real.graph_task)
		return tmk_real.graph_task() != -1;
	return tmk_real.graph_nodes && tmk_real.graph_nodes();
}

/* Works this thread for a backward? Torch is asked only where it may. */
static inline bool in_graph_task(const struct tmk_place *p)
{
	if (p->in_node)
		return true;
	if (!p->in_execute && !p->of_engine && tmk_real.execute && tmk_real.evaluate)
		return false;
	return graph_task();
}

TMK_HOT uint8_t tmk_phase_now(bool *grad_mode)
{
	bool grad = tmk_gradmode();
	const struct tmk_place *p = &tmk_place;
	*grad_mode = grad;
	if (in_graph_task(p))
		/* The engine runs nodes with gradients as create_graph says; a checkpoint
		 * switches them on again to recompute. */
		return grad && !atomic_load_explicit(&creating_graph,
		                                     memory_order_relaxed)
		               ? TMK_RECOMPUTE
		               : TMK_BACKWARD;
	if (p->in_execute)
		return TMK_BACKWARD;
	if (p->in_zero_grad)
		return TMK_ZERO_GRAD;
	if (p->in_step)
		return grad ? TMK_FORWARD : TMK_OPTIMIZER;
	if (p->in_data)
		return TMK_DATA;
	/* What we cannot know the program may have said. */
	return tmk_scope_phase();
}

static void boundary(enum tmk_boundary at, bool create, bool accumulate)
{
	if (!tmk_is_active() || !tmk_enter())
		return;
	tmk_emit_boundary(at, create, accumulate);
	tmk_leave();
}

/* ---- which threads train --------------------------------------------------------------- */

static atomic_bool trained_elsewhere;

/* Called in the forward, where a Python program holds the GIL: whoever holds it later sees
 * the flag before that thread's backward can begin. */
static TMK_COLD void note_thread(void)
{
	if (in_graph_task(&tmk_place)) /* a thread of the engine, recomputing */
		return;
	tmk_place.noted = true;
	if (syscall(SYS_gettid) != getpid())
		atomic_store(&trained_elsewhere, true);
}

bool tmk_phase_main_alone_trains(void)
{
	return !atomic_load(&trained_elsewhere) && !tmk_place.in_execute;
}

TMK_HOT void tmk_phase_forward(void)
{
	if (__builtin_expect(!tmk_place.noted, 0))
		note_thread();
	/* What a program computes on the CPU before it comes to a traced device opens none. */
	if (atomic_load_explicit(&forward_open, memory_order_relaxed) ||
	    !tmk_is_active())
		return;
	const struct tmk_place *p = &tmk_place;
	if (p->in_execute || p->in_step || in_graph_task(p))
		return;
	if (!atomic_exchange(&forward_open, true)) {
		if (tmk_is_active() && tmk_enter()) {
			tmk_emit_forward(tmk_module_now() != 0);
			tmk_leave();
		}
		tmk_late_forward();
	}
}

/* ---- scopes that torch opens for its profiler, USER scope ---------------------------- */

static int *scope_of(const char *name)
{
	static const struct {
		const char *prefix;
		size_t offset;
	} scopes[] = {
	        {"Optimizer.step#", offsetof(struct tmk_place, in_step)},
	        {"Optimizer.zero_grad#", offsetof(struct tmk_place, in_zero_grad)},
	        {"enumerate(DataLoader)#", offsetof(struct tmk_place, in_data)},
	};
	for (size_t i = 0; name && i < sizeof scopes / sizeof *scopes; i++)
		if (!strncmp(name, scopes[i].prefix, strlen(scopes[i].prefix)))
			return (int *)((char *)&tmk_place + scopes[i].offset);
	return NULL;
}

static void depth_begins(int *depth)
{
	if ((*depth)++)
		return;
	if (depth == &tmk_place.in_step)
		boundary(TMK_AT_STEP, false, false);
	else if (depth == &tmk_place.in_zero_grad)
		boundary(TMK_AT_ZERO_GRAD, false, false);
	else
		boundary(TMK_AT_DATA, false, false);
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
	int *depth = scope_of(label);
	if (depth)
		depth_begins(depth);
	return result;
}

static void depth_ends(int *depth)
{
	if (*depth <= 0 || --*depth)
		return;
	if (depth == &tmk_place.in_step) {
		atomic_store(&forward_open, false);
		boundary(TMK_AT_STEP_END, false, false);
		tmk_late_step();
	} else if (depth == &tmk_place.in_zero_grad) {
		boundary(TMK_AT_ZERO_GRAD_END, false, false);
	} else {
		boundary(TMK_AT_DATA_END, false, false);
	}
}

static void scope_ends(const void *function, void *context)
{
	(void)context;
	const char *label = tmk_real.scope_name(function), *name;
	if (tmk_scope_parse(label, &name) != TMK_SCOPE_NONE)
		tmk_scope_pop(tmk_scope_owner(label));
	int *depth = scope_of(label);
	if (depth)
		depth_ends(depth);
}

/* A callback that torch keeps makes it build its lists of callbacks anew twice at every node
 * of a backward (ThreadLocalStateGuard sets them). So it is kept only until the constructor
 * of a scope has come by here, which shows that it does; from then on each scope is given
 * the callback for itself. */
enum { USER_SCOPE = 7 }; /* at::RecordScope::USER_SCOPE */
enum { NOT_INSTALLED, KEPT, CHANGING, GIVEN };
static atomic_int callback_is = NOT_INSTALLED;
static uint64_t kept_callback; /* at::CallbackHandle */

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
	int no = NOT_INSTALLED;
	if (!tmk_real.add_global_callback || !tmk_real.scope_name ||
	    !atomic_compare_exchange_strong(&callback_is, &no, CHANGING))
		return;
	kept_callback = tmk_real.add_global_callback(callback());
	atomic_store(&callback_is, KEPT);
}

static bool scope_needs_callback(void)
{
	int kept = KEPT;
	if (!tmk_real.add_thread_callback || !tmk_real.remove_callback)
		return false;
	if (atomic_compare_exchange_strong(&callback_is, &kept, CHANGING)) {
		tmk_real.remove_callback(kept_callback);
		atomic_store(&callback_is, GIVEN);
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
	if (!tmk_real.scope_made)
		tmk_late_init();
	uint64_t handle __attribute__((cleanup(callback_ends))) = 0;
	if (kind == USER_SCOPE && scope_needs_callback())
		handle = tmk_real.add_thread_callback(callback());
	tmk_real.scope_made(self, kind);
}

/* ---- optimizers of the C++ frontend --------------------------------------------------- */

void tmk_phase_step(bool begins)
{
	(begins ? depth_begins : depth_ends)(&tmk_place.in_step);
}

void tmk_phase_zero_grad(bool begins)
{
	(begins ? depth_begins : depth_ends)(&tmk_place.in_zero_grad);
}

/* ---- the autograd engine ------------------------------------------------------------- */

struct executing {
	bool create, outermost, accumulate;
};

static void execute_ends(struct executing *e)
{
	atomic_fetch_sub(&creating_graph, e->create);
	tmk_place.in_execute--;
	if (!e->outermost)
		return;
	tmk_scope_backward(false);
	if (!tmk_place.in_step)
		atomic_store(&forward_open, false);
	boundary(TMK_AT_BACKWARD_END, e->create, e->accumulate);
}

/* A reentrant checkpoint calls execute on a device thread, whose own counter is 0: the
 * graph task around it tells that it is not the outermost. */
struct tmk_vector
_ZN5torch8autograd6Engine7executeERKSt6vectorINS0_4EdgeESaIS3_EERKS2_IN2at6TensorESaIS9_EEbbbS7_(
        void *self, const void *roots, const void *inputs, bool keep, bool create,
        bool accumulate, const void *outputs)
{
	if (!tmk_real.execute)
		tmk_late_init();
	struct executing e __attribute__((cleanup(execute_ends))) = {
	        create, !tmk_place.in_execute && !in_graph_task(&tmk_place),
	        accumulate};
	if (!tmk_place.noted)
		note_thread();
	if (e.outermost) {
		boundary(TMK_AT_BACKWARD, create, accumulate);
		tmk_scope_backward(true);
	}
	tmk_place.in_execute++;
	atomic_fetch_add(&creating_graph, create);
	return tmk_real.execute(self, roots, inputs, keep, create, accumulate, outputs);
}
