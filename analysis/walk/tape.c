/* tape.c - a training step as PyTorch's autograd runs it.
 * Called from: walk/. */
#include "tape_private.h"

#include <stdlib.h>
#include <string.h>

#include "allocator.h"
#include "heap.h"

struct tape *tape_new(int64_t capacity)
{
	struct rules rules = {.max_split = INT64_MAX,
	                      .max_non_split_rounding = INT64_C(20) << 20};
	struct tape *t = allocate(sizeof(*t));

	t->allocator = capacity ? allocator_new(&rules, capacity) : NULL;
	t->caught = t->wanted = -1;
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

static void note(struct tape *t, struct tape_peak *peak)
{
	if (t->allocated <= peak->bytes)
		return;
	peak->bytes = t->allocated;
	peak->phase = t->phase;
	memcpy(peak->bucket, t->bucket, sizeof(peak->bucket));
}

void tape_phase(struct tape *t, enum tape_phase phase)
{
	t->phase = phase;
	note(t, &t->totals.phase[phase]);
}

int64_t tape_allocated(const struct tape *t)
{
	return t->allocated;
}

void tape_stream(struct tape *t, int stream)
{
	t->stream = stream;
}

/* ---- storages ---------------------------------------------------------------------------- */

static void count_most(struct tape *t)
{
	note(t, &t->totals.peak);
	note(t, &t->totals.phase[t->phase]);
	if (t->allocator && allocator_reserved(t->allocator) > t->totals.reserved)
		t->totals.reserved = allocator_reserved(t->allocator);
}

void storage_fill(struct tape *t, int32_t number, int64_t bytes)
{
	struct storage *storage = &t->storages[number];

	storage->asked = bytes;
	storage->bytes = (bytes + 511) / 512 * 512;
	storage->block = -1;
	if (t->allocator && bytes > 0) {
		storage->block = allocator_take(t->allocator, bytes, t->stream);
		t->totals.refused = t->totals.refused || storage->block < 0;
		if (storage->block >= 0)
			storage->bytes =
			        allocator_block_bytes(t->allocator, storage->block);
	}
	t->allocated += storage->bytes;
	t->bucket[storage->bucket] += storage->bytes;
	count_most(t);
}

void storage_empty(struct tape *t, int32_t number)
{
	struct storage *storage = &t->storages[number];

	t->allocated -= storage->bytes;
	t->bucket[storage->bucket] -= storage->bytes;
	if (storage->block >= 0)
		allocator_give(t->allocator, storage->block);
	storage->block = -1;
	storage->bytes = 0;
}

int32_t storage_take(struct tape *t, int64_t bytes, enum tape_bucket bucket)
{
	int32_t number;

	if (t->spare_count) {
		number = t->spare[--t->spare_count];
	} else {
		t->storages = grow(t->storages, t->storage_count, &t->storage_room,
		                   sizeof(*t->storages));
		number = (int32_t)t->storage_count++;
	}
	t->storages[number] = (struct storage){.holders = 1, .bucket = bucket};
	storage_fill(t, number, bytes);
	return number;
}

int32_t storage_hold(struct tape *t, int32_t storage)
{
	if (storage >= 0)
		t->storages[storage].holders++;
	return storage;
}

void storage_let(struct tape *t, int32_t number)
{
	struct storage *storage;

	if (number < 0)
		return;
	storage = &t->storages[number];
	if (--storage->holders)
		return;
	storage_empty(t, number);
	t->spare = grow(t->spare, t->spare_count, &t->spare_room, sizeof(*t->spare));
	t->spare[t->spare_count++] = number;
}

void storage_becomes(struct tape *t, int32_t number, enum tape_bucket bucket)
{
	struct storage *storage = &t->storages[number];

	t->bucket[storage->bucket] -= storage->bytes;
	t->bucket[bucket] += storage->bytes;
	storage->bucket = bucket;
}

void tape_workspaces(struct tape *t, int64_t cublas, int64_t cublaslt)
{
	t->workspace[0] = cublas;
	t->workspace[1] = cublaslt;
}

void workspaces_take(struct tape *t, enum tape_library library)
{
	bool *took = t->took[t->phase == TAPE_BACKWARD || t->phase == TAPE_RECOMPUTE];

	for (int i = 0; i < 2 && !t->stopped; i++) {
		if (took[i] || (int)library < i + LIBRARY_CUBLAS)
			continue;
		took[i] = true;
		if (t->workspace[i])
			storage_take(t, t->workspace[i], TAPE_WORKSPACE);
	}
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

tensor_id tensor_new(struct tape *t, struct tensor tensor)
{
	t->tensors =
	        grow(t->tensors, t->tensor_count, &t->tensor_room, sizeof(*t->tensors));
	t->tensors[t->tensor_count] = tensor;
	return (tensor_id)t->tensor_count++;
}

tensor_id tape_make(struct tape *t, int64_t bytes, enum tape_bucket bucket)
{
	int32_t storage = storage_take(t, t->stopped ? 0 : bytes, bucket);

	return tensor_new(
	        t, (struct tensor){
	                   .bytes = bytes, .storage = storage, .node = -1, .leaf = -1});
}

tensor_id tape_weight(struct tape *t, int64_t bytes, bool trained)
{
	tensor_id weight = tape_make(t, bytes, TAPE_PARAMETER);

	t->leaves = grow(t->leaves, t->leaf_count, &t->leaf_room, sizeof(*t->leaves));
	t->leaves[t->leaf_count] = (struct leaf){.weight = weight,
	                                         .gradient = -1,
	                                         .kept = -1,
	                                         .cast = NO_TENSOR,
	                                         .trained = trained};
	t->tensors[weight].leaf = (int32_t)t->leaf_count++;
	t->tensors[weight].grad = trained;
	return weight;
}

void tape_copy_gradient(struct tape *t, tensor_id weight)
{
	t->leaves[t->tensors[weight].leaf].copied = true;
}

void tape_ask_gradient(struct tape *t, tensor_id v)
{
	t->tensors[v].grad = true;
}

void tape_drop_asked(struct tape *t)
{
	storage_let(t, t->caught);
	t->caught = -1;
}

void tape_zero_grad(struct tape *t)
{
	for (size_t i = 0; i < t->leaf_count; i++) {
		storage_let(t, t->leaves[i].gradient);
		t->leaves[i].gradient = -1;
	}
}

tensor_id tape_hold(struct tape *t, tensor_id v)
{
	storage_hold(t, t->tensors[v].storage);
	return v;
}

void tape_let(struct tape *t, tensor_id v)
{
	if (v != NO_TENSOR)
		storage_let(t, t->tensors[v].storage);
}

bool tape_wants_grad(const struct tape *t, tensor_id v)
{
	return v != NO_TENSOR && t->tensors[v].grad;
}

int64_t tape_bytes(const struct tape *t, tensor_id v)
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

/* Counts what is saved. A second forward is over with the last tensor that the first one would have
 * saved: _StopRecomputationError of torch/utils/checkpoint.py. */
static void pack(struct tape *t, int64_t count)
{
	t->packed += count;
	if (count)
		t->early = 0;
	t->stopped = t->stopped || (t->wanted >= 0 && count && t->packed >= t->wanted);
}

/* A gradient of its own, where nothing was saved since. */
static void note_early(struct tape *t, const struct op *op)
{
	for (int i = 0; i < op->inputs && !t->early; i++)
		if (op->give[i] == GIVE_NEW)
			t->early = op->grad[i];
}

static int64_t saves_of(const struct op *op)
{
	int64_t count = 0;

	for (int i = 0; i < op->save_count; i++)
		count += op->saves[i] != NO_TENSOR;
	return count;
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
	if (any)
		pack(t, saves_of(op));
	if (any && t->silent && !saves_of(op))
		note_early(t, &node.op);
	if (!any || t->silent)
		return -1;
	node.again = t->wanted >= 0;
	for (int i = 0; i < op->inputs; i++)
		if (node.op.give[i] != GIVE_NONE && t->tensors[op->in[i]].leaf >= 0)
			t->leaves[t->tensors[op->in[i]].leaf].uses++;
	for (int i = 0; i < op->save_count; i++)
		if (op->saves[i] != NO_TENSOR)
			node.saves[node.save_count++] =
			        storage_hold(t, t->tensors[op->saves[i]].storage);
	return new_node(t, node);
}

static bool wanted(const struct tape *t, const struct op *op)
{
	for (int i = 0; i < op->inputs; i++)
		if (op->give[i] != GIVE_NONE && tape_wants_grad(t, op->in[i]))
			return true;
	return false;
}

void tape_record(struct tape *t, const struct op *op, tensor_id result)
{
	t->tensors[result].grad = wanted(t, op);
	t->tensors[result].node = record(t, op);
}

tensor_id tape_result(struct tape *t, const struct op *op, int64_t bytes)
{
	int64_t before = t->packed;
	tensor_id result;

	/* an operator's inputs are saved before it runs */
	if (wanted(t, op))
		pack(t, saves_of(op));
	result = tape_make(t, bytes, TAPE_ACTIVATION);
	t->packed = before;
	workspaces_take(t, op->library);
	tape_record(t, op, result);
	return result;
}

tensor_id tape_view(struct tape *t, const struct op *op, tensor_id of)
{
	tensor_id result = tensor_new(
	        t, (struct tensor){.bytes = t->tensors[of].bytes,
	                           .storage = storage_hold(t, t->tensors[of].storage),
	                           .leaf = -1});

	tape_record(t, op, result);
	return result;
}

void tape_save_result(struct tape *t, tensor_id result)
{
	int32_t node = t->tensors[result].node;

	if (t->tensors[result].grad)
		pack(t, 1);
	if (node >= 0)
		t->nodes[node].saves[t->nodes[node].save_count++] =
		        storage_hold(t, t->tensors[result].storage);
}

void tape_split(struct tape *t, tensor_id whole, int count, tensor_id *parts)
{
	struct op op = {.in = {whole},
	                .give = {GIVE_NEW},
	                .grad = {t->tensors[whole].bytes},
	                .inputs = 1};
	int32_t node = record(t, &op);

	if (node >= 0)
		t->nodes[node].parts = count;
	for (int i = 0; i < count; i++)
		parts[i] = tensor_new(
		        t, (struct tensor){.bytes = t->tensors[whole].bytes / count,
		                           .storage = storage_hold(
		                                   t, t->tensors[whole].storage),
		                           .node = node,
		                           .leaf = -1,
		                           .part = (int16_t)i,
		                           .grad = wanted(t, &op)});
}

tensor_id tape_checkpoint(struct tape *t, tape_layer *layer, void *context,
                          tensor_id input)
{
	struct node node = {.op = {.in = {input},
	                           .give = {GIVE_NEW},
	                           .grad = {t->tensors[input].bytes},
	                           .inputs = 1},
	                    .gradient = {-1, -1, -1, -1},
	                    .parts = 1,
	                    .layer = layer,
	                    .context = context};
	int64_t before = t->packed;
	bool was = t->silent;
	tensor_id result;

	t->silent = true;
	t->packed = 0;
	result = layer(t, context, input);
	node.packed = t->packed;
	node.early = t->early;
	t->packed = before;
	t->silent = was;
	t->tensors[result].node = -1;
	if (was || !t->tensors[result].grad)
		return result;
	node.input = storage_hold(t, t->tensors[input].storage);
	t->tensors[result].node = new_node(t, node);
	return result;
}

void tape_hook(struct tape *t, tape_action *action, void *context)
{
	struct node node = {.gradient = {-1, -1, -1, -1},
	                    .action = action,
	                    .context = context,
	                    .input = -1};

	if (!t->silent)
		new_node(t, node);
}

void tape_empty(struct tape *t, tensor_id weight)
{
	storage_empty(t, t->tensors[weight].storage);
}

void tape_refill(struct tape *t, tensor_id weight, int64_t bytes)
{
	storage_fill(t, t->tensors[weight].storage, bytes);
}

void tape_drop_gradient(struct tape *t, tensor_id weight)
{
	struct leaf *leaf = &t->leaves[t->tensors[weight].leaf];

	storage_let(t, leaf->gradient);
	leaf->gradient = -1;
}

/* ---- autocast ---------------------------------------------------------------------------- */

tensor_id tape_cast_weight(struct tape *t, tensor_id weight, int64_t bytes)
{
	struct op op = {.in = {weight},
	                .give = {GIVE_NEW},
	                .grad = {t->tensors[weight].bytes},
	                .inputs = 1};
	struct leaf *leaf = &t->leaves[t->tensors[weight].leaf];

	leaf->was_cast = true;
	if (!leaf->trained) /* the cache is for leaves that are trained */
		return tape_result(t, &op, bytes);
	if (leaf->cast == NO_TENSOR)
		leaf->cast = tape_result(t, &op, bytes);
	return tape_hold(t, leaf->cast);
}

void tape_autocast_ends(struct tape *t)
{
	for (size_t i = 0; i < t->leaf_count; i++) {
		tape_let(t, t->leaves[i].cast);
		t->leaves[i].cast = NO_TENSOR;
	}
}
