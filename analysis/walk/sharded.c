/* sharded.c - what FSDP2 and DDP take on one device.
 * Source: torch/distributed/fsdp/_fully_shard/_fsdp_param_group.py and _fsdp_collectives.py,
 * torch/csrc/distributed/c10d/reducer.cpp, PyTorch 2.11.
 * Called from: transformer.c, walk.c, weights.c. */
#include "sharded.h"

#include <stdlib.h>

#include "heap.h"

/* FSDP's streams beside the one that computes. */
enum { COMPUTING, COPYING_IN, REDUCING };

struct part {
	tensor_id weight;
	int64_t padded; /* elements of a shard, the last one filled up */
	int group;
};

struct group {
	tensor_id flat;      /* what an all-gather delivered; NO_TENSOR */
	tensor_id gradients; /* of the shards, one buffer; NO_TENSOR */
	int64_t padded;      /* elements of a shard of all its weights */
	size_t from, to;     /* its weights are among these */
	bool gathered;
	struct sharding *sharding;
};

struct sharding {
	struct tape *tape;
	int64_t world;
	struct sharded_widths widths;
	struct part *parts;
	size_t part_count, part_room, grouped;
	struct group *groups; /* the root's is the last */
	size_t group_count, group_room;
	int last_gathered;  /* group whose flat is kept until the next copy-out; -1 */
	tensor_id reducing; /* the input of the last reduce-scatter; NO_TENSOR */
};

struct sharding *sharding_new(struct tape *tape, int64_t world,
                              const struct sharded_widths *widths)
{
	struct sharding *s = allocate(sizeof(*s));

	s->tape = tape;
	s->world = world;
	s->widths = *widths;
	s->last_gathered = -1;
	s->reducing = NO_TENSOR;
	return s;
}

void sharding_free(struct sharding *s)
{
	if (!s)
		return;
	free(s->parts);
	free(s->groups);
	free(s);
}

int64_t sharding_weight(struct sharding *s, tensor_id weight, int64_t rows,
                        int64_t columns)
{
	int64_t padded = (rows + s->world - 1) / s->world * columns;

	s->parts = grow(s->parts, s->part_count, &s->part_room, sizeof(*s->parts));
	s->parts[s->part_count++] =
	        (struct part){.weight = weight, .padded = padded, .group = -1};
	tape_empty(s->tape, weight);
	tape_make(s->tape, padded * s->widths.shard, TAPE_PARAMETER);
	return padded;
}

static int new_group(struct sharding *s)
{
	s->groups = grow(s->groups, s->group_count, &s->group_room, sizeof(*s->groups));
	s->groups[s->group_count] = (struct group){
	        .flat = NO_TENSOR, .gradients = NO_TENSOR, .sharding = s};
	return (int)s->group_count++;
}

static void put_in(struct sharding *s, struct part *part, int group)
{
	part->group = group;
	s->groups[group].padded += part->padded;
}

int sharding_group(struct sharding *s)
{
	int group = new_group(s);

	s->groups[group].from = s->grouped;
	s->groups[group].to = s->part_count;
	for (; s->grouped < s->part_count; s->grouped++)
		put_in(s, &s->parts[s->grouped], group);
	return group;
}

void sharding_leave_out(struct sharding *s)
{
	s->grouped = s->part_count;
}

void sharding_root(struct sharding *s)
{
	int group = new_group(s);

	s->groups[group].to = s->part_count;
	for (size_t i = 0; i < s->part_count; i++)
		if (s->parts[i].group < 0)
			put_in(s, &s->parts[i], group);
}

static int number_of(const struct sharding *s, int group)
{
	return group == SHARDING_ROOT ? (int)s->group_count - 1 : group;
}

static void let_go(struct sharding *s, tensor_id *v)
{
	tape_let(s->tape, *v);
	*v = NO_TENSOR;
}

/* foreach_all_gather(): into one flat tensor; shards that are cast lie in another meanwhile. */
static void gather(struct sharding *s, struct group *group)
{
	tensor_id cast = NO_TENSOR;

	if (group->gathered || group->flat != NO_TENSOR)
		return;
	tape_stream(s->tape, COPYING_IN);
	if (s->widths.gathered != s->widths.shard)
		cast = tape_make(s->tape, group->padded * s->widths.gathered,
		                 TAPE_TEMPORARY);
	group->flat = tape_make(s->tape, group->padded * s->world * s->widths.gathered,
	                        TAPE_TEMPORARY);
	tape_stream(s->tape, COMPUTING);
	let_go(s, &cast);
}

/* foreach_all_gather_copy_out(): each weight has a tensor of its own. */
static void copy_out(struct sharding *s, int number)
{
	struct group *group = &s->groups[number];

	if (group->gathered)
		return;
	for (size_t i = group->from; i < group->to; i++)
		if (s->parts[i].group == number)
			tape_refill(s->tape, s->parts[i].weight,
			            s->parts[i].padded * s->world * s->widths.gathered);
	group->gathered = true;
}

static void reshard(struct sharding *s, int number)
{
	const struct group *group = &s->groups[number];

	for (size_t i = group->from; i < group->to; i++)
		if (s->parts[i].group == number)
			tape_empty(s->tape, s->parts[i].weight);
	s->groups[number].gathered = false;
}

static void let_last(struct sharding *s)
{
	if (s->last_gathered >= 0)
		let_go(s, &s->groups[s->last_gathered].flat);
	s->last_gathered = -1;
}

/* FSDPParamGroup.post_backward(): the gradients are packed, reduced and sharded. */
static void reduce(struct sharding *s, int number)
{
	struct group *group = &s->groups[number];
	int64_t shard = group->padded * s->widths.reduced;
	tensor_id reduced;

	reshard(s, number);
	let_go(s, &s->reducing);
	s->reducing = tape_make(s->tape, shard * s->world, TAPE_TEMPORARY);
	for (size_t i = group->from; i < group->to; i++)
		if (s->parts[i].group == number)
			tape_drop_gradient(s->tape, s->parts[i].weight);
	tape_stream(s->tape, REDUCING);
	reduced = tape_make(s->tape, shard, TAPE_GRADIENT);
	if (s->widths.reduced != s->widths.shard) {
		tensor_id cast = tape_make(s->tape, group->padded * s->widths.shard,
		                           TAPE_GRADIENT);
		let_go(s, &reduced);
		reduced = cast;
	}
	tape_stream(s->tape, COMPUTING);
	group->gradients = reduced;
}

static void after_backward(void *context)
{
	struct group *group = context;

	reduce(group->sharding, (int)(group - group->sharding->groups));
}

/* FSDPParamGroup.pre_backward(): gathered again, and the one whose forward came before begins. */
static void before_backward(void *context)
{
	struct group *group = context;
	struct sharding *s = group->sharding;
	int number = (int)(group - s->groups);

	gather(s, group);
	if (!group->gathered) {
		copy_out(s, number);
		let_go(s, &group->flat);
	}
	if (number > 0)
		gather(s, &s->groups[number - 1]);
}

void sharding_before(struct sharding *s, int which)
{
	int number = number_of(s, which);

	gather(s, &s->groups[number]);
	let_last(s);
	copy_out(s, number);
	s->last_gathered = number;
	if (which != SHARDING_ROOT)
		tape_hook(s->tape, after_backward, &s->groups[number]);
}

void sharding_after(struct sharding *s, int which)
{
	int number = number_of(s, which);

	if (which == SHARDING_ROOT)
		let_last(s); /* and it stays gathered for the backward */
	else
		reshard(s, number);
	tape_hook(s->tape, before_backward, &s->groups[number]);
}

void sharding_backward_ends(struct sharding *s)
{
	reduce(s, number_of(s, SHARDING_ROOT));
	let_go(s, &s->reducing);
}

void sharding_zero_grad(struct sharding *s)
{
	for (size_t i = 0; i < s->group_count; i++)
		let_go(s, &s->groups[i].gradients);
}

/* Reducer::initialize_buckets(): the first of 1 MiB, the others of 25, a weight that passes the end
 * still in. The last weights come first, as backward makes their gradients. */
void ddp_buckets(struct tape *tape, const int64_t *sizes, size_t count, int width)
{
	int64_t limit = INT64_C(1) << 20, bytes = 0;

	while (count--) {
		bytes += sizes[count] * width;
		if (bytes < limit && count)
			continue;
		tape_make(tape, bytes, TAPE_TEMPORARY);
		bytes = 0;
		limit = INT64_C(25) << 20;
	}
}
