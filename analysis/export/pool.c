/* pool.c - the blocks that are alive at one instant of a flow: by row, by place, by address.
 * Called from: flow.c. */
#include "pool.h"

#include <search.h>
#include <stdlib.h>

#include "flow.h"
#include "heap.h"

enum { SLOTS = 1 << 16 };

struct ends {
	struct piece_of *first, *last;
};

struct pool {
	struct ends by_row[SLOTS], by_place[SLOTS];
	void *by_address; /* of tsearch(3) */
	int64_t made_up;
	void (*visit)(void *context, const struct piece_of *piece);
	void *context;
};

struct pool *pool_new(void)
{
	struct pool *pool = allocate(sizeof(*pool));

	pool->made_up = FLOW_MADE_UP;
	return pool;
}

static void free_node(void *piece)
{
	free(piece);
}

void pool_free(struct pool *pool)
{
	tdestroy(pool->by_address, free_node);
	free(pool);
}

/* Two that overlap are equal: finding one finds whatever lies there. */
static int by_address(const void *left, const void *right)
{
	const struct piece_of *a = left, *b = right;

	if (a->device != b->device)
		return a->device < b->device ? -1 : 1;
	if (a->address + (a->bytes > 0 ? a->bytes : 1) <= b->address)
		return -1;
	return b->address + (b->bytes > 0 ? b->bytes : 1) <= a->address;
}

static size_t slot_of(int64_t a, int64_t b)
{
	return (size_t)(((uint64_t)a * 31 + (uint64_t)b) * 0x9e3779b97f4a7c15u >> 40) &
	       (SLOTS - 1);
}

static struct ends *row_ends(struct pool *pool, int64_t row)
{
	return &pool->by_row[slot_of(row, 0)];
}

static struct ends *place_ends(struct pool *pool, int64_t site, int64_t bytes)
{
	return &pool->by_place[slot_of(site, bytes)];
}

static void link_row(struct pool *pool, struct piece_of *piece)
{
	struct ends *ends = row_ends(pool, piece->row);

	piece->row_before = ends->last;
	piece->row_after = NULL;
	*(ends->last ? &ends->last->row_after : &ends->first) = piece;
	ends->last = piece;
}

static void unlink_row(struct pool *pool, struct piece_of *piece)
{
	struct ends *ends = row_ends(pool, piece->row);

	*(piece->row_before ? &piece->row_before->row_after : &ends->first) =
	        piece->row_after;
	*(piece->row_after ? &piece->row_after->row_before : &ends->last) =
	        piece->row_before;
}

static void link_heir(struct pool *pool, struct piece_of *piece)
{
	struct ends *ends = place_ends(pool, piece->site, piece->bytes);

	piece->heir_before = ends->last;
	piece->heir_after = NULL;
	*(ends->last ? &ends->last->heir_after : &ends->first) = piece;
	ends->last = piece;
}

static void unlink_heir(struct pool *pool, struct piece_of *piece)
{
	struct ends *ends = place_ends(pool, piece->site, piece->bytes);

	*(piece->heir_before ? &piece->heir_before->heir_after : &ends->first) =
	        piece->heir_after;
	*(piece->heir_after ? &piece->heir_after->heir_before : &ends->last) =
	        piece->heir_before;
}

struct piece_of *pool_add(struct pool *pool, const struct piece_of *like,
                          int64_t *moved)
{
	struct piece_of *piece = allocate(sizeof(*piece));

	*piece = *like;
	if (tfind(piece, &pool->by_address, by_address)) {
		piece->address = pool->made_up;
		pool->made_up += (piece->bytes + 511) / 512 * 512 + 512;
		++*moved;
	}
	if (!tsearch(piece, &pool->by_address, by_address))
		out_of_memory();
	link_row(pool, piece);
	if (piece->heir)
		link_heir(pool, piece);
	return piece;
}

void pool_remove(struct pool *pool, struct piece_of *piece)
{
	tdelete(piece, &pool->by_address, by_address);
	unlink_row(pool, piece);
	if (piece->heir)
		unlink_heir(pool, piece);
	free(piece);
}

void pool_rename(struct pool *pool, struct piece_of *piece, int64_t row)
{
	unlink_row(pool, piece);
	piece->row = row;
	link_row(pool, piece);
}

struct piece_of *pool_by_row(struct pool *pool, int64_t row)
{
	struct piece_of *piece = row_ends(pool, row)->last;

	while (piece && piece->row != row)
		piece = piece->row_before;
	return piece;
}

struct piece_of *pool_heir(struct pool *pool, int64_t site, int64_t bytes,
                           int32_t device)
{
	struct piece_of *piece = place_ends(pool, site, bytes)->first;

	while (piece && (piece->site != site || piece->bytes != bytes ||
	                 piece->device != device))
		piece = piece->heir_after;
	return piece;
}

struct piece_of *pool_at(struct pool *pool, int32_t device, int64_t address)
{
	struct piece_of key = {.device = device, .address = address, .bytes = 1};
	void *found = tfind(&key, &pool->by_address, by_address);

	return found ? *(struct piece_of **)found : NULL;
}

/* twalk(3) has no room for a context, and twalk_r(3) is younger than the glibc of the wheel. */
static struct pool *walked;

static void visit_node(const void *node, VISIT which, int depth)
{
	(void)depth;
	if (which == postorder || which == leaf)
		walked->visit(walked->context, *(struct piece_of *const *)node);
}

void pool_each(struct pool *pool,
               void (*visit)(void *context, const struct piece_of *piece),
               void *context)
{
	pool->visit = visit;
	pool->context = context;
	walked = pool;
	twalk(pool->by_address, visit_node);
}
