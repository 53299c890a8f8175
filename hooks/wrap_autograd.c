/* wrap_autograd.c - nodes, leaves and gradients.
 * Called from: torch, on the thread that runs the forward or the engine. Without a lock;
 * the wrappers add no reference to any tensor, so gradients are stolen as before. */
#include <stdatomic.h>
#include <string.h>

#include "emit.h"
#include "gradmode.h"
#include "hot.h"
#include "node.h"
#include "phase.h"
#include "pointer.h"
#include "real.h"
#include "stacks.h"

TMK_HOT uint64_t _ZN2at15sequence_number17get_and_incrementEv(void)
{
	uint64_t n = tmk_real.sequence();
	tmk_phase_forward();
	if (tmk_is_active() && tmk_enter()) {
		tmk_node_made(&tmk_doing, n, tmk_module_now());
		tmk_leave();
	}
	return n;
}

struct outer { /* given back when the inner one ends */
	const char *node;
	uint32_t module, op;
	uint8_t top;
	bool grad;
};

static void node_ends(struct outer *o)
{
	tmk_doing.in_node--;
	tmk_doing.node = o->node;
	tmk_doing.node_module = o->module;
	tmk_doing.node_op = o->op;
	tmk_doing.top = o->top;
	tmk_doing.node_grad = o->grad;
}

TMK_HOT void
_ZN5torch8autograd6Engine17evaluate_functionERSt10shared_ptrINS0_9GraphTaskEEPNS0_4NodeERNS0_11InputBufferERKS2_INS0_10ReadyQueueEE(
        void *self, void *task, char *node, void *inputs, void *queue)
{
	/* One inside another takes over from it. */
	if (tmk_doing.node && tmk_is_active() && tmk_enter()) {
		tmk_node_name(&tmk_doing);
		tmk_leave();
	}
	struct outer outer __attribute__((cleanup(node_ends))) = {
	        tmk_doing.node, tmk_doing.node_module, tmk_doing.node_op, tmk_doing.top,
	        tmk_doing.node_grad};
	tmk_doing.node = node;
	tmk_doing.in_node++;
	tmk_doing.top = TMK_IN_NODE;
	tmk_doing.node_grad = tmk_gradmode();
	tmk_doing.of_engine |= !tmk_doing.in_execute;
	tmk_real.evaluate(self, task, node, inputs, queue);
}

static TMK_HOT void emit_pointer(enum tmk_pointer_code code, void *tensor)
{
	void *p = tmk_pointer_of(tensor);
	if (!p)
		return;
	struct tmk_rec_pointer *r = tmk_begin_often(TMK_REC_POINTER, code, sizeof(*r));
	if (!r)
		return;
	r->ptr = (uintptr_t)p;
	tmk_end(r);
}

TMK_HOT void _ZN5torch8autograd14AccumulateGradC1EN2at6TensorE(void *self, void *tensor)
{
	if (!TMK_FOUND(sequence))
		tmk_phase_forward();
	if (tmk_is_active() && tmk_enter()) {
		emit_pointer(TMK_POINTER_PARAMETER, tensor);
		tmk_leave();
	}
	tmk_real.accumulate_new(self, tensor);
	tmk_node_of_leaf(self);
}

TMK_HOT struct tmk_vector
_ZN5torch8autograd14AccumulateGrad5applyEOSt6vectorIN2at6TensorESaIS4_EE(
        void *self, struct tmk_vector *gradients)
{
	if (gradients->begin != gradients->end && tmk_is_active() && tmk_enter()) {
		emit_pointer(TMK_POINTER_GRADIENT, gradients->begin);
		tmk_leave();
	}
	return tmk_real.accumulate(self, gradients);
}
