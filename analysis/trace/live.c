/* live.c - what was alive on a device at one instant, summed by where it came from.
 *
 * queries/alive.sql says who was alive. Blocks are summed as they are read: there may be
 * millions, from a few thousand places.
 * Called from: advice/, answers/, commands/, compare/, export/, measure/, reconcile/,
 *     trace/. */
#include "live.h"

#include <stdlib.h>

#include "heap.h"
#include "trace_queries.h"

static uint64_t hash(const struct sum *sum)
{
	uint64_t mixed = (uint64_t)sum->site * 0x9e3779b97f4a7c15u;
	mixed = (mixed ^ (uint64_t)sum->bucket) * 0xbf58476d1ce4e5b9u;
	mixed = (mixed ^ (uint64_t)(uintptr_t)sum->owner) * 0x94d049bb133111ebu;
	return mixed ^ mixed >> 29;
}

static bool same(const struct sum *a, const struct sum *b)
{
	return a->site == b->site && a->bucket == b->bucket && a->owner == b->owner;
}

/* The slot of a sum like this one, or the empty one where it belongs. */
static size_t *find(struct live *live, const struct sum *sum)
{
	size_t at = hash(sum) & (live->slot_count - 1);
	while (live->slots[at] && !same(&live->sums[live->slots[at] - 1], sum))
		at = (at + 1) & (live->slot_count - 1);
	return &live->slots[at];
}

/* Never more than half full, so that a search is short and always ends. */
static void make_room(struct live *live)
{
	if (2 * (live->count + 1) <= live->slot_count)
		return;
	live->slot_count = live->slot_count ? 2 * live->slot_count : 1024;
	free(live->slots);
	live->slots = allocate(live->slot_count * sizeof(*live->slots));
	for (size_t i = 0; i < live->count; i++)
		*find(live, &live->sums[i]) = i + 1;
}

int live_each(struct trace *trace, int64_t device, const struct step *step,
              int64_t ordinal, live_visit *visit, void *context)
{
	struct rows *rows;

	if (step->thinned)
		return -1;
	rows = db_rows(trace->db, sql_alive, "iiiiii", device, step->id, step->first,
	               step->last, step->pattern, ordinal);
	while (rows_next(rows)) {
		struct alive alive = {
		        .block = {.address = rows_number(rows, 3),
		                  .bytes = rows_number(rows, 2),
		                  .born_step = rows_number(rows, 4),
		                  .died_step = rows_number_or(rows, 5, -1),
		                  .born = rows_number(rows, 8),
		                  .died = rows_number_or(rows, 9, -1)},
		        .site = rows_number(rows, 0),
		        .bucket = rows_number(rows, 1),
		        .rule = rows_number(rows, 6),
		        .requested = rows_number_or(rows, 7, -1)};
		visit(context, &alive);
	}
	return 0;
}

struct summing {
	struct live *live;
	const struct places *places;
};

static void add(struct live *live, const struct sum *sum)
{
	size_t *slot;

	make_room(live);
	slot = find(live, sum);
	if (!*slot) {
		live->sums =
		        grow(live->sums, live->count, &live->room, sizeof(*live->sums));
		live->sums[live->count] = *sum;
		*slot = ++live->count;
		return;
	}
	live->sums[*slot - 1].bytes += sum->bytes;
	live->sums[*slot - 1].blocks += sum->blocks;
}

/* A flat buffer's bytes are its tensors', each from where it begins to where the next one
 * does; the block is counted with the first of them. A view into a tensor is not another. */
static void add_block(void *context, const struct alive *alive)
{
	struct summing *summing = context;
	const struct places *places = summing->places;
	const struct block *block = &alive->block;
	const struct tensor *owner = places_owner(places, block, alive->bucket), *next;
	int64_t at = block->address, end = at + block->bytes, blocks = 1;

	for (; at < end; owner = next, blocks = 0) {
		next = owner;
		while (next &&
		       (next == owner || next->address < owner->address + owner->bytes))
			next = places_next(places, block, alive->bucket, next);
		int64_t upto = next ? next->address : end;
		struct sum sum = {.site = alive->site,
		                  .bucket = alive->bucket,
		                  .bytes = upto - at,
		                  .blocks = blocks,
		                  .owner = owner};
		add(summing->live, &sum);
		at = upto;
	}
	summing->live->bytes += block->bytes;
}

int live_at(struct trace *trace, const struct places *places, int64_t device,
            const struct step *step, int64_t ordinal, struct live *live)
{
	struct summing summing = {.live = live, .places = places};

	*live = (struct live){0};
	return live_each(trace, device, step, ordinal, add_block, &summing);
}

void live_free(struct live *live)
{
	free(live->sums);
	free(live->slots);
	*live = (struct live){0};
}
