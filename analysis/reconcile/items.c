/* items.c - lists of items and of causes; what is alike on both sides.
 * Called from: commands/, reconcile/. */
#include "reconcile.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "text.h"

const char *const cause_names[CAUSES] = {
#define CAUSE(id, name, what) name,
#include "causes.def"
#undef CAUSE
};

void items_add(struct items *items, struct item item)
{
	items->items =
	        grow(items->items, items->count, &items->room, sizeof(*items->items));
	items->items[items->count++] = item;
}

static int order(int64_t a, int64_t b)
{
	return a < b ? -1 : a > b;
}

static int by_kind(const void *left, const void *right)
{
	const struct item *a = left, *b = right;
	int way = order(a->row, b->row);

	if (!way)
		way = order(a->role, b->role);
	if (!way)
		way = strcmp(a->label, b->label);
	if (!way)
		way = order(a->kind, b->kind);
	if (!way)
		way = order(a->elements, b->elements);
	return way ? way : order(a->bytes, b->bytes);
}

void items_merge(struct items *items)
{
	size_t kept = 0;

	if (items->count)
		qsort(items->items, items->count, sizeof(*items->items), by_kind);
	for (size_t i = 0; i < items->count; i++) {
		struct item *item = &items->items[i];
		if (kept && !by_kind(&items->items[kept - 1], item)) {
			items->items[kept - 1].count += item->count;
			free(item->label);
		} else {
			items->items[kept++] = *item;
		}
	}
	items->count = kept;
}

struct cause *row_cause(struct row *row, enum cause_kind kind, int64_t bytes,
                        const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	text = format_list(format, arguments);
	va_end(arguments);
	for (size_t i = 0; i < row->count; i++) {
		if (row->causes[i].kind != kind ||
		    strcmp(row->causes[i].text, text) != 0)
			continue;
		row->causes[i].bytes += bytes;
		free(text);
		return &row->causes[i];
	}
	row->causes = grow(row->causes, row->count, &row->room, sizeof(*row->causes));
	row->causes[row->count] = (struct cause){kind, text, bytes, false};
	return &row->causes[row->count++];
}

/* How sure it is that two items are the same thing. */
enum likeness {
	SAME_PLACE,  /* role and size, and a norm or a residual sum made it */
	SAME_ROLE,   /* role and size */
	SAME_BUCKET, /* size alone: laid out anew by somebody else */
	LIKENESSES
};

static bool is_stream(enum item_role role)
{
	return role == IN_STREAM || role == IN_ATTENTION || role == IN_FORWARD;
}

/* Weights are the same by their elements whatever their dtype, all else by bytes. */
static bool alike(const struct item *found, const struct item *expected,
                  enum likeness likeness)
{
	if (found->row != expected->row)
		return false;
	if (likeness == SAME_BUCKET)
		return is_stream(found->role) && is_stream(expected->role) &&
		       found->bytes == expected->bytes;
	if (found->role != expected->role)
		return false;
	if (likeness == SAME_PLACE && expected->role == IN_STREAM &&
	    !strstr(found->label, "Norm") && !strstr(found->label, "aten::add"))
		return false;
	if (expected->padded && found->bytes == expected->padded)
		return true;
	return expected->role == IN_WEIGHT ? found->elements == expected->elements
	                                   : found->bytes == expected->bytes;
}

static void pair_off(struct reconciled *r, const struct item *found,
                     const struct item *expected, int64_t n)
{
	int64_t more = n * (found->bytes - expected->bytes);

	if (more && expected->padded == found->bytes)
		row_cause(&r->rows[found->row], CAUSE_PADDING, more,
		          "%s, padded by its kernel", expected->label);
	else if (more)
		row_cause(&r->rows[found->row], CAUSE_ELEMENT, more,
		          "%s in %lld B an element, not %lld", expected->label,
		          (long long)(found->bytes / found->elements),
		          (long long)(expected->bytes / expected->elements));
}

static void pair(struct reconciled *r, struct item *expected, enum likeness likeness)
{
	for (size_t i = 0; i < r->measured.count && expected->count; i++) {
		struct item *found = &r->measured.items[i];
		int64_t n =
		        found->count < expected->count ? found->count : expected->count;
		if (!n || !alike(found, expected, likeness))
			continue;
		found->count -= n;
		expected->count -= n;
		pair_off(r, found, expected, n);
	}
}

/* How many of an item are in a list of blocks by size, each counted once. */
static int64_t take(struct items *items, const struct item *item)
{
	int64_t taken = 0;

	for (size_t i = 0; i < items->count && taken < item->count; i++) {
		struct item *other = &items->items[i];
		int64_t n = item->count - taken;
		if (other->bytes != item->bytes || other->row != item->row)
			continue;
		n = other->count < n ? other->count : n;
		other->count -= n;
		taken += n;
	}
	return taken;
}

static const char *never(const struct item *item)
{
	switch ((int)item->row) {
	case ROW_PARAMETER:
		return "not on this device";
	case ROW_GRADIENT:
		return "never made in this step";
	case ROW_OPTIMIZER:
		return "never made by this run";
	case ROW_INPUT:
		return "no tensor of them on this device";
	default:
		return "not kept by this model";
	}
}

/* FSDP and DDP make many gradients in one buffer: bytes of an item that may lie in larger
 * blocks of its bucket, whose own size nothing has. */
static int64_t take_shared(struct items *items, const struct item *item, int64_t wanted)
{
	int64_t taken = 0;

	if (item->row != ROW_GRADIENT)
		return 0;
	for (size_t i = 0; i < items->count && taken < wanted; i++) {
		struct item *other = &items->items[i];
		int64_t room = other->count * other->bytes - other->shared;
		if (other->row != item->row || other->bytes <= item->bytes)
			continue;
		room = room < wanted - taken ? room : wanted - taken;
		other->shared += room;
		taken += room;
	}
	return taken;
}

/* Why something that the formula counts isn't there: the step's other blocks tell. What
 * backward uses up is looked for before the peak, what it leaves behind after it. */
static void absent(struct reconciled *r, struct item *item)
{
	struct row *row = &r->rows[item->row];
	bool used_up = item->row == ROW_ACTIVATION || item->row == ROW_TEMPORARY;
	int64_t freed = 0, later = 0;

	if (used_up)
		item->count -= freed = take(&r->freed, item);
	if (item->row != ROW_INPUT)
		item->count -= later = take(&r->later, item);
	if (!used_up && item->row != ROW_INPUT)
		item->count -= freed = take(&r->freed, item);
	row_cause(row, CAUSE_FREED, -freed * item->bytes, "%s, freed before the peak",
	          item->label);
	row_cause(row, CAUSE_LATER, -later * item->bytes, "%s, not made yet",
	          item->label);
}

/* When all that has a block of its own size is found: what lies in a flat buffer, and what
 * is nowhere. */
static void shared_or_never(struct reconciled *r, const struct item *item)
{
	struct row *row = &r->rows[item->row];
	int64_t left = item->count * item->bytes, later, freed;

	left -= take_shared(&r->measured, item, left);
	left -= later = take_shared(&r->later, item, left);
	left -= freed = take_shared(&r->freed, item, left);
	row_cause(row, CAUSE_LATER, -later, "%s, their flat buffer not made yet",
	          item->label);
	row_cause(row, CAUSE_FREED, -freed,
	          "%s, their flat buffer freed before the peak", item->label);
	row_cause(row, CAUSE_NEVER, -left, "%s, %s", item->label, never(item))->bare =
	        item->row == ROW_ACTIVATION || item->row == ROW_TEMPORARY;
}

/* What was measured and the formula has no such thing. */
static void surplus(struct reconciled *r, const struct item *item)
{
	struct row *row = &r->rows[item->row];
	int64_t bytes = item->count * item->bytes - item->shared;

	if (item->shared)
		row_cause(row, CAUSE_PADDING, bytes,
		          "room in flat buffers of gradients");
	else
		row_cause(row, item->kind, bytes, "%s", item->label)->bare = item->bare;
}

static int by_size(const void *left, const void *right)
{
	const struct cause *a = left, *b = right;
	int way = order(llabs(b->bytes), llabs(a->bytes));
	return way ? way : strcmp(a->text, b->text);
}

static void sort_causes(struct row *row)
{
	size_t kept = 0;

	for (size_t i = 0; i < row->count; i++) {
		if (row->causes[i].bytes)
			row->causes[kept++] = row->causes[i];
		else
			free(row->causes[i].text);
	}
	row->count = kept;
	if (kept)
		qsort(row->causes, kept, sizeof(*row->causes), by_size);
}

void reconcile_match(struct reconciled *r)
{
	for (int likeness = 0; likeness < LIKENESSES; likeness++)
		for (size_t i = 0; i < r->expected.count; i++)
			pair(r, &r->expected.items[i], (enum likeness)likeness);
	for (size_t i = 0; i < r->expected.count; i++)
		if (r->expected.items[i].count)
			absent(r, &r->expected.items[i]);
	for (size_t i = 0; i < r->expected.count; i++)
		if (r->expected.items[i].count)
			shared_or_never(r, &r->expected.items[i]);
	for (size_t i = 0; i < r->measured.count; i++)
		if (r->measured.items[i].count)
			surplus(r, &r->measured.items[i]);
	r->unexplained = llabs(r->unseen);
	for (int i = 0; i < ROW_COUNT; i++) {
		struct row *row = &r->rows[i];
		int64_t left = row->measured - row->predicted;
		for (size_t k = 0; k < row->count; k++)
			left -= row->causes[k].bytes;
		r->unexplained += llabs(left); /* two wrongs don't make a right */
		sort_causes(row);
	}
}
