/* wrap_autograd.c - nodes, leaves and gradients.
 * Called from: torch, on the thread that runs the forward or the engine. Without a lock;
 * the wrappers add no reference to any tensor, so gradients are stolen as before. */
#include <stdatomic.h>
#include <string.h>

#include "emit.h"
#include "hot.h"
#include "late.h"
#include "phase.h"
#include "pointer.h"
#include "real.h"
#include "stacks.h"

/* Which module made the node with this number? Numbers are per thread and grow; a slot
 * holds the last that fell into it, with its number to know it by. */
enum { REMEMBERED = 1 << 17 };
static struct {
	_Atomic uint64_t number;
	_Atomic uint32_t module;
} made[REMEMBERED];

/* Where a node keeps its number moved once (24 up to 2.11, 16 from 2.13): read off an
 * AccumulateGrad just made, whose number is all ones. */
static TMK_HOT_DATA atomic_int number_at;

TMK_HOT uint64_t _ZN2at15sequence_number17get_and_incrementEv(void)
{
	if (!tmk_real.sequence)
		tmk_late_init();
	uint64_t n = tmk_real.sequence();
	tmk_phase_forward();
	if (tmk_is_active() && tmk_enter()) {
		uint32_t module = tmk_module_now();
		atomic_store_explicit(&made[n % REMEMBERED].module, module,
		                      memory_order_relaxed);
		atomic_store_explicit(&made[n % REMEMBERED].number, n,
		                      memory_order_release);
		tmk_leave();
	}
	return n;
}

/* Most nodes allocate nothing: what a node is is found out when one does. */
TMK_HOT void tmk_autograd_node(struct tmk_place *p)
{
	const char *node = p->node;
	int at = atomic_load_explicit(&number_at, memory_order_relaxed);
	uint64_t n = UINT64_MAX;
	p->node = NULL;
	if (at)
		n = *(const uint64_t *)(node + at);
	/* An AccumulateGrad has no number: it works for its producer's module. */
	if (n != UINT64_MAX) {
		bool known = atomic_load_explicit(&made[n % REMEMBERED].number,
		                                  memory_order_acquire) == n;
		p->node_module = known ? atomic_load(&made[n % REMEMBERED].module) : 0;
	}
	p->node_op = tmk_op_number(*(const void *const *)node);
}

struct outer { /* given back when the inner one ends */
	const char *node;
	uint32_t module, op;
};

static void node_ends(struct outer *o)
{
	tmk_place.in_node--;
	tmk_place.node = o->node;
	tmk_place.node_module = o->module;
	tmk_place.node_op = o->op;
}

TMK_HOT void
_ZN5torch8autograd6Engine17evaluate_functionERSt10shared_ptrINS0_9GraphTaskEEPNS0_4NodeERNS0_11InputBufferERKS2_INS0_10ReadyQueueEE(
        void *self, void *task, char *node, void *inputs, void *queue)
{
	if (!tmk_real.evaluate)
		tmk_late_init();
	/* One inside another takes over from it. */
	if (tmk_place.node && tmk_is_active() && tmk_enter()) {
		tmk_autograd_node(&tmk_place);
		tmk_leave();
	}
	struct outer outer __attribute__((cleanup(node_ends))) = {
	        tmk_place.node, tmk_place.node_module, tmk_place.node_op};
	tmk_place.node = node;
	tmk_place.in_node++;
	tmk_place.of_engine |= !tmk_place.in_execute;
	tmk_real.evaluate(self, task, node, inputs, queue);
}

static TMK_HOT void emit_pointer(enum tmk_pointer_code code, void *tensor)
{
	void *p = tmk_pointer_of(tensor);
	if (!p)
		return;
	struct tmk_rec_pointer *r = tmk_begin_often(TMK_REC_POINTER, code, sizeof *r);
	if (!r)
		return;
	r->ptr = (uintptr_t)p;
	tmk_end(r);
}

TMK_HOT void _ZN5torch8autograd14AccumulateGradC1EN2at6TensorE(void *self, void *tensor)
{
	if (!tmk_real.accumulate_new)
		tmk_late_init();
	if (!tmk_real.sequence)
		tmk_phase_forward();
	if (tmk_is_active() && tmk_enter()) {
		emit_pointer(TMK_POINTER_PARAMETER, tensor);
		tmk_leave();
	}
	tmk_real.accumulate_new(self, tensor);
	for (int at = 16; !atomic_load(&number_at) && at <= 40; at += 8) {
		uint64_t n;
		memcpy(&n, (char *)self + at, sizeof n);
		if (n == UINT64_MAX)
			atomic_store(&number_at, at);
	}
}

TMK_HOT struct tmk_vector
_ZN5torch8autograd14AccumulateGrad5applyEOSt6vectorIN2at6TensorESaIS4_EE(
        void *self, struct tmk_vector *gradients)
{
	if (!tmk_real.accumulate)
		tmk_late_init();
	if (gradients->begin != gradients->end && tmk_is_active() && tmk_enter()) {
		emit_pointer(TMK_POINTER_GRADIENT, gradients->begin);
		tmk_leave();
	}
	return tmk_real.accumulate(self, gradients);
}
