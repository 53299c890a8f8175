/* order.c - a B+-tree whose inner nodes also say how far what lies below them reaches: that
 * finds the range around an address where longer ones began before shorter ones, and ends a
 * search in vain high up. A look-up reads one node a level, each a few adjacent lines; all
 * but the leaves of a million ranges fit into a second-level cache.
 * Called from: live.c. Owns: the nodes. */
#include "order.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { WIDE = TMK_ORDER_WIDE, DEEPEST = 16, SPARSE = WIDE / 4 };
#define NOWHERE UINT64_MAX

/* A leaf has ranges in order, an inner node its children: `start` is then no more than any
 * below it, `end` the largest. */
struct tmk_order_node {
	uint64_t start[WIDE]; /* from `count` on NOWHERE */
	uint64_t end[WIDE];
	uint32_t to[WIDE]; /* owner, or child */
	uint8_t device[WIDE];
	uint32_t count;
	bool rising; /* no `end` lies before the one to its left: no range holds another */
} __attribute__((aligned(64)));

struct item {
	uint64_t start, end;
	uint32_t to;
	uint8_t device;
};

struct path { /* from the root (at height) down to a leaf (at 0) */
	struct tmk_order_node *node[DEEPEST];
	uint32_t slot[DEEPEST]; /* of the child that was taken */
};

static inline struct tmk_order_node *at(const struct tmk_order *o, uint32_t number)
{
	return &o->node[number];
}

/* How many begin at the address or before. Without a branch, as which way it would go is
 * chance, and without the count, which lies in a line of its own. */
static inline uint32_t rank(const struct tmk_order_node *n, uint64_t address)
{
	enum { PART = 8 };
	uint32_t before = 0, from = 0;
	for (uint32_t i = PART; i < WIDE; i += PART)
		from += n->start[i] <= address;
	from *= PART;
	for (uint32_t i = 0; i < PART; i++)
		before += n->start[from + i] <= address;
	return from + before;
}

/* Something happened to the items around `i`: do the ends rise? */
static void judge(struct tmk_order_node *n, uint32_t i)
{
	uint32_t from = i ? i - 1 : 0, to = i + 2 < n->count ? i + 2 : n->count;
	if (!n->rising) {
		from = 0;
		to = n->count;
	}
	n->rising = true;
	for (uint32_t k = from + 1; k < to; k++)
		n->rising &= n->end[k - 1] <= n->end[k];
}

static void judge_all(struct tmk_order_node *n)
{
	n->rising = false;
	judge(n, 0);
}

static uint64_t reach(const struct tmk_order_node *n)
{
	uint64_t most = 0;
	for (uint32_t i = n->rising ? n->count - 1 : 0; i < n->count; i++)
		most = n->end[i] > most ? n->end[i] : most;
	return most;
}

/* ---- nodes ----------------------------------------------------------------------- */

/* Nodes for one addition: one splits on each level, and a new root. They lie in one array,
 * on large pages where it has some: half of a look-up would be finding the pages. */
static bool provide(struct tmk_order *o)
{
	enum { FIRST = 64, LARGE = 2 << 20 };
	if (o->spare >= o->height + 2)
		return true;
	uint32_t room = o->room ? o->room * 2 : FIRST;
	size_t size = room * sizeof(*o->node);
	bool large = size >= 2 * LARGE;
	struct tmk_order_node *more = NULL;
	if (posix_memalign((void **)&more, large ? LARGE : sizeof(*more->start) * 8,
	                   size))
		return false;
	if (large)
		madvise(more, size, MADV_HUGEPAGE);
	if (o->used)
		memcpy(more, o->node, o->used * sizeof(*more));
	else
		o->used = 1; /* number 0 stands for none */
	free(o->node);
	o->node = more;
	o->spare += room - (o->room ? o->room : 1);
	o->room = room;
	return true;
}

/* Forgets all but the first `count`. */
static void shorten(struct tmk_order_node *n, uint32_t count)
{
	n->count = count;
	for (uint32_t i = count; i < WIDE; i++)
		n->start[i] = NOWHERE;
}

static uint32_t take(struct tmk_order *o)
{
	uint32_t number = o->vacant;
	if (number)
		o->vacant = at(o, number)->to[0];
	else
		number = o->used++;
	o->spare--;
	shorten(at(o, number), 0);
	at(o, number)->rising = true;
	return number;
}

static void give_back(struct tmk_order *o, uint32_t number)
{
	at(o, number)->to[0] = o->vacant;
	o->vacant = number;
	o->spare++;
}

/* ---- items of a node ------------------------------------------------------------- */

static void copy(struct tmk_order_node *to, uint32_t i,
                 const struct tmk_order_node *from, uint32_t j, uint32_t count)
{
	memmove(&to->start[i], &from->start[j], count * sizeof(*to->start));
	memmove(&to->end[i], &from->end[j], count * sizeof(*to->end));
	memmove(&to->to[i], &from->to[j], count * sizeof(*to->to));
	memmove(&to->device[i], &from->device[j], count * sizeof(*to->device));
}

static void set_end(struct tmk_order_node *n, uint32_t i, uint64_t end)
{
	if (n->end[i] == end)
		return;
	n->end[i] = end;
	judge(n, i);
}

static void put(struct tmk_order_node *n, uint32_t i, const struct item *item)
{
	copy(n, i + 1, n, i, n->count - i);
	n->start[i] = item->start;
	n->end[i] = item->end;
	n->to[i] = item->to;
	n->device[i] = item->device;
	n->count++;
	judge(n, i);
}

static void drop(struct tmk_order_node *n, uint32_t i)
{
	n->count--;
	copy(n, i, n, i + 1, n->count - i);
	n->start[n->count] = NOWHERE;
	judge(n, i);
}

/* Where a full node, to which an item is added at `i`, is cut: addresses that only rise or
 * only fall leave full nodes behind; what begins at one address stays together. */
static uint32_t cut(const struct tmk_order_node *n, uint32_t i, uint64_t start)
{
	uint32_t best = 0, wish = i == WIDE ? WIDE : !i ? 1 : WIDE / 2;
	for (uint32_t c = 1; c <= WIDE; c++) { /* as if it were there already */
		uint64_t left = c - 1 == i ? start : n->start[c - 1 - (c - 1 > i)];
		uint64_t right = c == i ? start : n->start[c - (c > i)];
		if (left != right &&
		    (!best || abs((int)c - (int)wish) < abs((int)best - (int)wish)))
			best = c;
	}
	return best ? best : wish;
}

/* Adds to a full node; what follows the cut goes to the new one that is returned. */
static uint32_t split(struct tmk_order *o, struct tmk_order_node *n, uint32_t i,
                      const struct item *item)
{
	uint32_t keep = cut(n, i, item->start), number = take(o);
	struct tmk_order_node *right = at(o, number);
	uint32_t from = keep > i ? keep - 1 : keep;
	copy(right, 0, n, from, WIDE - from);
	right->count = WIDE - from;
	judge_all(right);
	shorten(n, from);
	if (keep > i)
		put(n, i, item);
	else
		put(right, i - keep, item);
	return number;
}

/* ---- adding and removing --------------------------------------------------------- */

static void descend(const struct tmk_order *o, uint64_t start, struct path *p)
{
	uint32_t number = o->root;
	for (uint32_t level = o->height;; level--) {
		struct tmk_order_node *n = at(o, number);
		uint32_t i = rank(n, start);
		p->node[level] = n;
		p->slot[level] = level && i ? i - 1 : i;
		if (!level)
			return;
		number = n->to[p->slot[level]];
	}
}

static void grow(struct tmk_order *o, uint32_t left, uint32_t right)
{
	const struct tmk_order_node *l = at(o, left), *r = at(o, right);
	struct item two[] = {{l->start[0], reach(l), left, 0},
	                     {r->start[0], reach(r), right, 0}};
	o->root = take(o);
	o->height++;
	put(at(o, o->root), 0, &two[0]);
	put(at(o, o->root), 1, &two[1]);
}

bool tmk_order_add(struct tmk_order *o, uint64_t start, uint64_t bytes, uint8_t device,
                   uint32_t owner)
{
	uint64_t end = start + bytes < start ? UINT64_MAX : start + bytes;
	struct item item = {start, end, owner, device};
	if (start == NOWHERE)
		return true; /* no address lies in it */
	if (o->height + 1 >= DEEPEST || !provide(o))
		return false;
	if (!o->root) {
		o->root = take(o);
		o->height = 0;
	}
	struct path p;
	descend(o, start, &p);
	struct tmk_order_node *leaf = p.node[0];
	uint32_t i = p.slot[0], level = 0;
	while (i && leaf->start[i - 1] == start && leaf->device[i - 1] < device)
		i--;
	while (p.node[level]->count == WIDE) {
		uint32_t right = split(o, p.node[level], i, &item);
		if (level == o->height) {
			grow(o, o->root, right);
			return true;
		}
		struct tmk_order_node *above = p.node[++level];
		i = p.slot[level];
		above->start[i] = start < above->start[i] ? start : above->start[i];
		set_end(above, i, reach(p.node[level - 1]));
		const struct tmk_order_node *r = at(o, right);
		item = (struct item){r->start[0], reach(r), right, 0};
		i++;
	}
	put(p.node[level], i, &item);
	while (level++ < o->height) {
		struct tmk_order_node *n = p.node[level];
		i = p.slot[level];
		n->start[i] = start < n->start[i] ? start : n->start[i];
		set_end(n, i, end > n->end[i] ? end : n->end[i]);
	}
	return true;
}

/* Two neighbours that are nearly empty become one. */
static void join(struct tmk_order *o, struct tmk_order_node *above, uint32_t i)
{
	struct tmk_order_node *left = at(o, above->to[i]);
	struct tmk_order_node *right = at(o, above->to[i + 1]);
	if (left->count + right->count > WIDE / 2)
		return;
	copy(left, left->count, right, 0, right->count);
	left->count += right->count;
	judge_all(left);
	set_end(above, i, reach(left));
	give_back(o, above->to[i + 1]);
	drop(above, i + 1);
}

void tmk_order_remove(struct tmk_order *o, uint64_t start, uint32_t owner)
{
	struct path p;
	if (!o->root || start == NOWHERE)
		return;
	descend(o, start, &p);
	struct tmk_order_node *n = p.node[0];
	uint32_t i = p.slot[0];
	do
		if (!i-- || n->start[i] != start)
			return;
	while (n->to[i] != owner);
	drop(n, i);
	for (uint32_t level = 1; level <= o->height; level++) {
		struct tmk_order_node *above = p.node[level];
		i = p.slot[level];
		if (!n->count) {
			give_back(o, above->to[i]);
			drop(above, i);
		} else {
			set_end(above, i, reach(n));
			if (n->count < SPARSE && i + 1 < above->count)
				join(o, above, i);
			if (n->count < SPARSE && i)
				join(o, above, i - 1);
		}
		n = above;
	}
	while (o->height && at(o, o->root)->count == 1) {
		uint32_t old = o->root;
		o->root = at(o, old)->to[0];
		o->height--;
		give_back(o, old);
	}
	if (!at(o, o->root)->count) {
		give_back(o, o->root);
		o->root = o->height = 0;
	}
}

/* ---- looking up ------------------------------------------------------------------ */

static struct tmk_order_node *fetch(struct tmk_order_node *n)
{
	for (uint32_t i = 0; i < WIDE; i += 8) {
		__builtin_prefetch(&n->start[i]);
		__builtin_prefetch(&n->end[i]);
	}
	__builtin_prefetch(&n->to[0]);
	__builtin_prefetch(&n->to[16]);
	__builtin_prefetch(&n->count);
	return n;
}

int64_t tmk_order_around(const struct tmk_order *o, uint8_t device, uint64_t address)
{
	/* From the right to the left, down where something reaches far enough: of the child
	 * in which the address belongs that need not hold it, of those before it some range
	 * does, of one device or another. */
	struct path p;
	uint32_t level = o->height;
	if (!o->root || address == NOWHERE)
		return -1;
	p.node[level] = at(o, o->root);
	p.slot[level] = rank(p.node[level], address);
	for (;;) {
		const struct tmk_order_node *n = p.node[level];
		uint32_t i = p.slot[level];
		while (i && n->end[i - 1] <= address)
			i = n->rising ? 0 : i - 1;
		if (!i) {
			if (level++ == o->height)
				return -1;
			continue;
		}
		p.slot[level] = --i;
		if (level) {
			p.node[--level] = fetch(at(o, n->to[i]));
			p.slot[level] = rank(p.node[level], address);
		} else if (device == TMK_ORDER_ANY || n->device[i] == device) {
			return n->to[i];
		}
	}
}

void tmk_order_free(struct tmk_order *o)
{
	free(o->node);
	memset(o, 0, sizeof(*o));
}
