/* tape.c - a training step as PyTorch's autograd runs it.
 * Called from: layers.c, ops.c, walk.c. */
#include "tape.h"

#include <stdlib.h>
#include <string.h>

#include "allocator.h"
#include "heap.h"

struct storage {
	int64_t bytes; /* as the allocator counts it */
	int32_t holders, block;
	uint8_t bucket;
};

struct tensor {
	int64_t bytes; /* its own, of a view too */
	int32_t storage, node, leaf;
	int16_t part; /* of its node's results */
	bool grad;
};

enum { PARTS = 4 };

struct node {
	struct op op;
	int32_t saves[OP_SAVES]; /* storages */
	int32_t gradient[PARTS]; /* storages; -1 */
	int save_count, parts;
	int64_t whole; /* of a split: bytes of the gradient that the parts' become */
	tape_layer *layer; /* of a checkpoint */
	void *context;
	int32_t input; /* its input's storage, held */
};

struct leaf {
	value weight;
	int32_t gradient; /* storage; -1 */
	value cast;       /* under autocast; NO_VALUE */
	bool trained;
};

struct tape {
	struct allocator *allocator; /* NULL: sums alone */
	struct storage *storages;
	size_t storage_count, storage_room;
	int32_t *spare; /* storages that are gone */
	size_t spare_count, spare_room;
	struct tensor *tensors;
	size_t tensor_count, tensor_room;
	struct node *nodes;
	size_t node_count, node_room;
	struct leaf *leaves;
	size_t leaf_count, leaf_room;
	int64_t allocated, bucket[TAPE_BUCKETS];
	enum tape_phase phase;
	struct tape_totals totals;
	bool silent;    /* nothing is recorded: the forward of a checkpoint */
	int32_t caught; /* what a checkpoint's input got as its gradient; -1 */
};

struct tape *tape_new(int64_t capacity)
{
	struct rules rules = {.max_split = INT64_MAX,
	                      .max_non_split_rounding = INT64_C(20) << 20};
	struct tape *t = allocate(sizeof(*t));

	t->allocator = capacity ? allocator_new(&rules, capacity) : NULL;
	t->caught = -1;
	return t;
}

void tape_free(struct tape *t)
{
	if (t->allocator)
		allocator_free(t->allocator);
	free(t->storages);
	free(t->spare);
	free(t->tensors);
	free(t->nodes);
	free(t->leaves);
	free(t);
}

void tape_phase(struct tape *t, enum tape_phase phase)
{
	t->phase = phase;
}

/* ---- storages ---------------------------------------------------------------------------- */

static void note(struct tape *t, struct tape_peak *peak)
{
	if (t->allocated <= peak->bytes)
		return;
	peak->bytes = t->allocated;
	peak->phase = t->phase;
	memcpy(peak->bucket, t->bucket, sizeof(peak->bucket));
}

static int32_t take(struct tape *t, int64_t bytes, enum tape_bucket bucket)
{
	struct storage storage = {.bytes = (bytes + 511) / 512 * 512,
	                          .holders = 1,
	                          .block = -1,
	                          .bucket = bucket};
	int32_t number;

	if (t->allocator && bytes > 0) {
		storage.block = allocator_take(t->allocator, bytes, 0);
		t->totals.refused = t->totals.refused || storage.block < 0;
		if (storage.block >= 0)
			storage.bytes =
			        allocator_block_bytes(t->allocator, storage.block);
	}
	if (t->spare_count) {
		number = t->spare[--t->spare_count];
	} else {
		t->storages = grow(t->storages, t->storage_count, &t->storage_room,
		                   sizeof(*t->storages));
		number = (int32_t)t->storage_count++;
	}
	t->storages[number] = storage;
	t->allocated += storage.bytes;
	t->bucket[bucket] += storage.bytes;
	note(t, &t->totals.peak);
	note(t, &t->totals.phase[t->phase]);
	if (t->allocator && allocator_reserved(t->allocator) > t->totals.reserved)
		t->totals.reserved = allocator_reserved(t->allocator);
	return number;
}

static int32_t hold(struct tape *t, int32_t storage)
{
	if (storage >= 0)
		t->storages[storage].holders++;
	return storage;
}

static void let(struct tape *t, int32_t number)
{
	struct storage *storage;

	if (number < 0)
		return;
	storage = &t->storages[number];
	if (--storage->holders)
		return;
	t->allocated -= storage->bytes;
	t->bucket[storage->bucket] -= storage->bytes;
	if (storage->block >= 0)
		allocator_give(t->allocator, storage->block);
	t->spare = grow(t->spare, t->spare_count, &t->spare_room, sizeof(*t->spare));
	t->spare[t->spare_count++] = number;
}

static void becomes(struct tape *t, int32_t number, enum tape_bucket bucket)
{
	struct storage *storage = &t->storages[number];

	t->bucket[storage->bucket] -= storage->bytes;
	t->bucket[bucket] += storage->bytes;
	storage->bucket = bucket;
}

struct tape_totals tape_read(const struct tape *t)
{
	return t->totals;
}

void tape_mark(struct tape *t)
{
	t->totals = (struct tape_totals){
	        .reserved = t->allocator ? allocator_reserved(t->allocator) : 0};
	note(t, &t->totals.peak);
}

/* ---- values ------------------------------------------------------------------------------ */

static value new_tensor(struct tape *t, struct tensor tensor)
{
	t->tensors =
	        grow(t->tensors, t->tensor_count, &t->tensor_room, sizeof(*t->tensors));
	t->tensors[t->tensor_count] = tensor;
	return (value)t->tensor_count++;
}

value tape_make(struct tape *t, int64_t bytes, enum tape_bucket bucket)
{
	return new_tensor(t, (struct tensor){.bytes = bytes,
	                                     .storage = take(t, bytes, bucket),
	                                     .node = -1,
	                                     .leaf = -1});
}

value tape_weight(struct tape *t, int64_t bytes, bool trained)
{
	value weight = tape_make(t, bytes, TAPE_PARAMETER);

	t->leaves = grow(t->leaves, t->leaf_count, &t->leaf_room, sizeof(*t->leaves));
	t->leaves[t->leaf_count] = (struct leaf){
	        .weight = weight, .gradient = -1, .cast = NO_VALUE, .trained = trained};
	t->tensors[weight].leaf = (int32_t)t->leaf_count++;
	t->tensors[weight].grad = trained;
	return weight;
}

void tape_zero_grad(struct tape *t)
{
	for (size_t i = 0; i < t->leaf_count; i++) {
		let(t, t->leaves[i].gradient);
		t->leaves[i].gradient = -1;
	}
}

value tape_hold(struct tape *t, value v)
{
	hold(t, t->tensors[v].storage);
	return v;
}

void tape_let(struct tape *t, value v)
{
	if (v != NO_VALUE)
		let(t, t->tensors[v].storage);
}

bool tape_wants_grad(const struct tape *t, value v)
{
	return v != NO_VALUE && t->tensors[v].grad;
}

int64_t tape_bytes(const struct tape *t, value v)
{
	return t->tensors[v].bytes;
}

/* ---- nodes ------------------------------------------------------------------------------- */

static int32_t new_node(struct tape *t, struct node node)
{
	t->nodes = grow(t->nodes, t->node_count, &t->node_room, sizeof(*t->nodes));
	t->nodes[t->node_count] = node;
	return (int32_t)t->node_count++;
}

static int32_t record(struct tape *t, const struct op *op)
{
	struct node node = {
	        .op = *op, .gradient = {-1, -1, -1, -1}, .parts = 1, .input = -1};
	bool any = false;

	for (int i = 0; i < op->inputs; i++) {
		bool wants = op->give[i] != GIVE_NONE && tape_wants_grad(t, op->in[i]);
		if (!wants)
			node.op.give[i] = GIVE_NONE;
		any = any || wants;
	}
	if (!any || t->silent)
		return -1;
	for (int i = 0; i < op->save_count; i++)
		if (op->saves[i] != NO_VALUE)
			node.saves[node.save_count++] =
			        hold(t, t->tensors[op->saves[i]].storage);
	return new_node(t, node);
}

static bool wanted(const struct tape *t, const struct op *op)
{
	for (int i = 0; i < op->inputs; i++)
		if (op->give[i] != GIVE_NONE && tape_wants_grad(t, op->in[i]))
			return true;
	return false;
}

void tape_record(struct tape *t, const struct op *op, value result)
{
	t->tensors[result].grad = wanted(t, op);
	t->tensors[result].node = record(t, op);
}

value tape_result(struct tape *t, const struct op *op, int64_t bytes)
{
	value result = tape_make(t, bytes, TAPE_ACTIVATION);

	tape_record(t, op, result);
	return result;
}

value tape_view(struct tape *t, const struct op *op, value of)
{
	value result = new_tensor(
	        t, (struct tensor){.bytes = t->tensors[of].bytes,
	                           .storage = hold(t, t->tensors[of].storage),
	                           .leaf = -1});

	t->tensors[result].grad = wanted(t, op);
	t->tensors[result].node = record(t, op);
	return result;
}

void tape_save_result(struct tape *t, value result)
{
	int32_t node = t->tensors[result].node;

	if (node >= 0)
		t->nodes[node].saves[t->nodes[node].save_count++] =
		        hold(t, t->tensors[result].storage);
}

void tape_split(struct tape *t, value whole, int count, value *parts)
{
	struct op op = {.in = {whole},
	                .give = {GIVE_NEW},
	                .grad = {t->tensors[whole].bytes},
	                .inputs = 1};
	int32_t node = record(t, &op);

	if (node >= 0)
		t->nodes[node].parts = count;
	for (int i = 0; i < count; i++)
		parts[i] = new_tensor(
		        t,
		        (struct tensor){.bytes = t->tensors[whole].bytes / count,
		                        .storage = hold(t, t->tensors[whole].storage),
		                        .node = node,
		                        .leaf = -1,
		                        .part = (int16_t)i,
		                        .grad = wanted(t, &op)});
}

/* ---- the backward ------------------------------------------------------------------------ */

/* Two gradients become one; both were held, and the result is. */
static int32_t add_up(struct tape *t, int32_t first, int32_t second)
{
	int32_t sum = first;

	if (t->storages[first].holders > 1) {
		sum = take(t, t->storages[first].bytes, TAPE_TEMPORARY);
		let(t, first);
	}
	let(t, second);
	return sum;
}

static void deliver_leaf(struct tape *t, struct leaf *leaf, int32_t gradient)
{
	if (leaf->gradient >= 0) {
		let(t, gradient);
		return;
	}
	if (t->storages[gradient].holders > 1) { /* somebody else's: it is copied */
		int32_t copy = take(t, t->storages[gradient].bytes, TAPE_GRADIENT);
		let(t, gradient);
		gradient = copy;
	}
	becomes(t, gradient, TAPE_GRADIENT);
	leaf->gradient = gradient;
}

static void deliver(struct tape *t, value to, int32_t gradient)
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

/* The layer once more, now recorded, and its backward. */
static void run_checkpoint(struct tape *t, const struct node *node, int32_t gradient)
{
	size_t from = t->node_count;
	int32_t outer = t->caught;
	value input = new_tensor(t, (struct tensor){.bytes = node->op.grad[0],
	                                            .storage = node->input,
	                                            .node = -1,
	                                            .leaf = -1,
	                                            .grad = true});
	value result;
	int32_t caught;

	t->caught = -1;
	result = node->layer(t, node->context, input);
	tape_let(t, result);
	tape_autocast_ends(t); /* the second forward has an autocast of its own */
	deliver(t, result, gradient);
	run_backward(t, from);
	let(t, node->input);
	caught = t->caught;
	t->caught = outer;
	if (caught >= 0)
		deliver(t, node->op.in[0], caught);
}

static void run_node(struct tape *t, const struct node *node)
{
	int32_t gradient[OP_INPUTS] = {-1, -1, -1, -1}, temp = -1;
	const struct op *op = &node->op;

	if (node->layer) {
		run_checkpoint(t, node, node->gradient[0]);
		return;
	}
	if (op->temp)
		temp = take(t, op->temp, TAPE_TEMPORARY);
	for (int i = 0; i < op->inputs; i++) {
		if (op->give[i] == GIVE_SAME)
			gradient[i] = hold(t, node->gradient[0]);
		else if (op->give[i] == GIVE_NEW || op->give[i] == GIVE_SUM)
			gradient[i] = take(
			        t, op->give[i] == GIVE_SUM ? op->wide : op->grad[i],
			        TAPE_TEMPORARY);
	}
	let(t, temp);
	for (int i = 0; i < node->parts; i++)
		let(t, node->gradient[i]);
	for (int i = 0; i < node->save_count; i++)
		let(t, node->saves[i]);
	for (int i = 0; i < op->inputs; i++) {
		if (op->give[i] == GIVE_SUM) {
			int32_t sum = take(t, op->grad[i], TAPE_TEMPORARY);
			let(t, gradient[i]);
			gradient[i] = sum;
		}
		if (gradient[i] >= 0)
			deliver(t, op->in[i], gradient[i]);
	}
}

static void run_backward(struct tape *t, size_t from)
{
	while (t->node_count > from) {
		struct node node = t->nodes[t->node_count - 1];
		bool any = false;
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
				let(t, node.saves[i]);
		t->node_count--;
	}
}

void tape_backward(struct tape *t, value loss)
{
	deliver(t, loss, take(t, 4, TAPE_TEMPORARY));
	tape_let(t, loss);
	run_backward(t, 0);
}

value tape_checkpoint(struct tape *t, tape_layer *layer, void *context, value input)
{
	struct op op = {.in = {input},
	                .give = {GIVE_NEW},
	                .grad = {t->tensors[input].bytes},
	                .inputs = 1};
	bool was = t->silent;
	value result;
	int32_t node;

	t->silent = true;
	result = layer(t, context, input);
	t->silent = was;
	node = record(t, &op);
	if (node >= 0) {
		t->nodes[node].layer = layer;
		t->nodes[node].context = context;
		t->nodes[node].input = hold(t, t->tensors[input].storage);
	}
	t->tensors[result].node = node;
	return result;
}

/* ---- autocast ---------------------------------------------------------------------------- */

value tape_cast_weight(struct tape *t, value weight, int64_t bytes)
{
	struct op op = {.in = {weight},
	                .give = {GIVE_NEW},
	                .grad = {t->tensors[weight].bytes},
	                .inputs = 1};
	struct leaf *leaf = &t->leaves[t->tensors[weight].leaf];

	if (!leaf->trained) /* the cache is for leaves that are trained */
		return tape_result(t, &op, bytes);
	if (leaf->cast == NO_VALUE)
		leaf->cast = tape_result(t, &op, bytes);
	return tape_hold(t, leaf->cast);
}

void tape_autocast_ends(struct tape *t)
{
	for (size_t i = 0; i < t->leaf_count; i++) {
		tape_let(t, t->leaves[i].cast);
		t->leaves[i].cast = NO_VALUE;
	}
}
