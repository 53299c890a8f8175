/* backward.c - the backward of a tape: its nodes, last first.
 * Called from: transformer.c. */
#include "tape_private.h"

/* Two gradients become one; both were held, and the result is. The first is added to in place where
 * nobody else holds it: can_accumulate_inplace() of torch/csrc/autograd/input_buffer.cpp. */
static int32_t add_up(struct tape *t, int32_t first, int32_t second)
{
	int32_t sum = first;

	if (t->storages[first].holders > 1 || t->storages[first].viewed) {
		sum = storage_take(t, t->storages[first].asked, TAPE_TEMPORARY);
		storage_let(t, first);
	}
	storage_let(t, second);
	return sum;
}

static void take_gradient(struct tape *t, struct leaf *leaf, int32_t gradient)
{
	if (leaf->gradient >= 0) { /* a weight that is used twice */
		if (!leaf->was_cast) {
			int32_t sum = storage_take(t, t->storages[gradient].asked,
			                           TAPE_GRADIENT);
			storage_let(t, leaf->gradient);
			leaf->gradient = sum;
		}
		storage_let(t, gradient);
		return;
	}
	/* somebody else's is copied */
	if (t->storages[gradient].holders > 1 || leaf->copied) {
		int32_t copy =
		        storage_take(t, t->storages[gradient].asked, TAPE_GRADIENT);
		storage_let(t, gradient);
		gradient = copy;
	}
	storage_becomes(t, gradient, TAPE_GRADIENT);
	leaf->gradient = gradient;
}

/* AccumulateGrad, once all that come are summed up: to the gradient of the backwards before they are
 * added in place. */
static void deliver_leaf(struct tape *t, struct leaf *leaf, int32_t gradient)
{
	leaf->uses--;
	if (leaf->kept >= 0 && leaf->gradient < 0 && leaf->uses <= 0) {
		storage_let(t, gradient);
		leaf->gradient = leaf->kept;
		leaf->kept = -1;
		return;
	}
	take_gradient(t, leaf, gradient);
	if (leaf->kept < 0 || leaf->uses > 0)
		return;
	storage_let(t, leaf->gradient);
	leaf->gradient = leaf->kept;
	leaf->kept = -1;
}

static void deliver(struct tape *t, tensor_id to, int32_t gradient)
{
	const struct tensor *tensor = &t->tensors[to];
	int32_t *place;

	if (tensor->leaf >= 0) {
		deliver_leaf(t, &t->leaves[tensor->leaf], gradient);
		return;
	}
	place = tensor->node < 0 ? &t->caught
	                         : &t->nodes[tensor->node].gradient[tensor->part];
	*place = *place < 0 ? gradient : add_up(t, *place, gradient);
}

static void run_backward(struct tape *t, size_t from);

/* The first node from there on that saved something. */
static size_t first_that_saved(const struct tape *t, size_t from)
{
	size_t i = from;

	while (i < t->node_count && !t->nodes[i].save_count)
		i++;
	return i;
}

/* The layer once more, now recorded, and its backward. Its input goes with the last tensor that is
 * read of what the layer saved: _NoopSaveInputs of torch/utils/checkpoint.py. */
static void run_checkpoint(struct tape *t, const struct node *node, int32_t gradient)
{
	size_t from = t->node_count;
	int32_t outer = t->caught;
	tensor_id input = tensor_new(
	        t, (struct tensor){.bytes = node->op.grad[0],
	                           .storage = node->input,
	                           .node = -1,
	                           .leaf = -1,
	                           .grad = tape_wants_grad(t, node->op.in[0])});
	tensor_id result;
	int32_t caught, early = -1;

	if (node->early)
		early = storage_take(t, node->early, TAPE_TEMPORARY);
	t->caught = -1;
	t->packed = 0;
	t->wanted = node->packed;
	tape_phase(t, TAPE_RECOMPUTE);
	result = node->layer(t, node->context, input);
	t->wanted = -1;
	t->stopped = false;
	tape_phase(t, TAPE_BACKWARD);
	tape_let(t, result);
	tape_autocast_ends(t); /* the second forward has an autocast of its own */
	storage_let(t, early);
	deliver(t, result, gradient);
	run_backward(t, first_that_saved(t, from));
	storage_let(t, node->input);
	run_backward(t, from);
	caught = t->caught;
	t->caught = outer;
	if (caught >= 0)
		deliver(t, node->op.in[0], caught);
}

static void take_all(struct tape *t, const int64_t *bytes, int32_t *taken)
{
	for (int i = 0; i < OP_TEMPS; i++)
		taken[i] = bytes[i] ? storage_take(t, bytes[i], TAPE_TEMPORARY) : -1;
}

static void let_all(struct tape *t, const int32_t *taken)
{
	for (int i = OP_TEMPS - 1; i >= 0; i--)
		storage_let(t, taken[i]);
}

static void give(struct tape *t, const struct node *node, int i, int32_t *gradient)
{
	const struct op *op = &node->op;

	if (op->give[i] == GIVE_SAME || op->give[i] == GIVE_ROWS)
		gradient[i] = storage_hold(t, node->gradient[0]);
	else if (op->give[i] != GIVE_NONE)
		gradient[i] = storage_take(
		        t, op->give[i] == GIVE_SUM ? op->wide : op->grad[i],
		        TAPE_TEMPORARY);
}

/* The engine sums up or casts what does not fit its input, when all are made: validate_outputs(). */
static void sum_up(struct tape *t, const struct op *op, int i, int32_t *gradient)
{
	int32_t sum = storage_take(t, op->grad[i], TAPE_TEMPORARY);

	if (op->summing && (op->give[i] == GIVE_ROWS || op->grad[i] <= op->grad[1 - i]))
		storage_let(t, storage_take(t, op->summing, TAPE_TEMPORARY));
	storage_let(t, gradient[i]);
	gradient[i] = sum;
}

/* With a bias, a matmul's weight is transposed behind the view of its input, so its gradient goes on
 * first: at::linear(). */
static void deliver_all(struct tape *t, const struct op *op, const int32_t *gradient)
{
	bool leaves_first = op->library == LIBRARY_CUBLASLT;

	for (int later = 0; later < 2; later++)
		for (int i = 0; i < op->inputs; i++) {
			bool waits = leaves_first && t->tensors[op->in[i]].leaf < 0;
			if (gradient[i] >= 0 && waits == later)
				deliver(t, op->in[i], gradient[i]);
		}
}

static void run_node(struct tape *t, const struct node *node)
{
	int32_t gradient[OP_INPUTS] = {-1, -1, -1, -1}, before[OP_TEMPS],
	        after[OP_TEMPS];
	const struct op *op = &node->op;

	if (node->layer) {
		run_checkpoint(t, node, node->gradient[0]);
		return;
	}
	take_all(t, op->before, before);
	for (int i = 0; i < op->inputs; i++) {
		int at = op->last_first ? op->inputs - 1 - i : i;
		give(t, node, at, gradient);
		/* a backward's matmuls have no bias */
		if (op->library && gradient[at] >= 0)
			workspaces_take(t, LIBRARY_CUBLAS);
	}
	if (op->passing)
		storage_let(t, storage_take(t, op->passing, TAPE_TEMPORARY));
	take_all(t, op->after, after);
	let_all(t, after);
	let_all(t, before);
	for (int i = node->save_count - 1; i >= 0 && node->again; i--)
		storage_let(t, node->saves[i]);
	for (int i = 0; i < op->inputs; i++)
		if (op->give[i] == GIVE_SUM || op->give[i] == GIVE_ROWS)
			sum_up(t, op, i, gradient);
	for (int i = 0; i < node->parts; i++)
		storage_let(t, node->gradient[i]);
	for (int i = 0; i < node->save_count && !node->again; i++)
		storage_let(t, node->saves[i]);
	if (op->viewed && gradient[0] >= 0)
		t->storages[gradient[0]].viewed = true;
	deliver_all(t, op, gradient);
}

static void run_backward(struct tape *t, size_t from)
{
	while (t->node_count > from) {
		struct node node = t->nodes[t->node_count - 1];
		bool any = false;
		if (node.action) {
			t->node_count--;
			node.action(node.context);
			continue;
		}
		for (int i = 0; i < node.parts; i++)
			any = any || node.gradient[i] >= 0;
		if (node.layer && any) {
			/* what it records comes in its place */
			t->node_count--;
			run_node(t, &node);
			continue;
		}
		if (any)
			run_node(t, &node);
		else
			for (int i = 0; i < node.save_count; i++)
				storage_let(t, node.saves[i]);
		t->node_count--;
	}
}

void tape_backward(struct tape *t, tensor_id loss)
{
	for (size_t i = 0; i < t->leaf_count; i++) {
		t->leaves[i].kept = t->leaves[i].gradient;
		t->leaves[i].gradient = -1;
	}
	deliver(t, loss, storage_take(t, 4, TAPE_TEMPORARY));
	tape_let(t, loss);
	run_backward(t, 0);
	for (size_t i = 0; i < t->leaf_count; i++) {
		if (t->leaves[i].kept >= 0)
			t->leaves[i].gradient = t->leaves[i].kept;
		t->leaves[i].kept = -1;
		t->leaves[i].uses = 0;
	}
}
