/* changes.c - what two instants do not share.
 *
 * A thing is found again by all it has: bucket, tensor or module, operator, shape, type, file and
 * line. What is left over is looked for with less: an edited file has other line numbers, another
 * PyTorch other operators, another batch other shapes. Nothing is found twice.
 * Called from: diff.c, ranges.c. */
#include "changes.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"

/* Each pass leaves something out, what says least first. */
static const struct pass {
	unsigned of;
	bool named; /* only what has a place, a line or an operator */
} passes[] = {
        {SAME_ALL, false},
        {SAME_ALL & ~SAME_LINE, false},
        {SAME_ALL & ~(SAME_LINE | SAME_FILE), false},
        {(SAME_ALL & ~SAME_PLACE) | SAME_PATTERN, true},
        {SAME_ALL & ~SAME_OP, true},
        {SAME_ALL & ~(SAME_OP | SAME_LINE), true},
        {SAME_ALL & ~SAME_SHAPE, true},
        {SAME_ALL & ~(SAME_SHAPE | SAME_LINE), true},
        {SAME_ALL & ~SAME_DTYPE, true},
        {SAME_ALL & ~(SAME_DTYPE | SAME_LINE), true},
        {SAME_ALL & ~SAME_BUCKET, true},
        {SAME_ALL & ~(SAME_BUCKET | SAME_LINE), true},
        {SAME_BUCKET | SAME_PLACE | SAME_SHAPE | SAME_DTYPE, true},
        {SAME_BUCKET | SAME_PLACE | SAME_OP | SAME_DTYPE | SAME_FILE, true},
};
enum { PASSES = sizeof(passes) / sizeof(*passes) };

struct pairing {
	struct changes *changes;
	size_t room;
	const struct thing **a, **b; /* that have no twin yet */
	size_t a_count, b_count;
};

static unsigned sort_of; /* qsort hands on no context */

static int by_pass(const void *left, const void *right)
{
	const struct thing *a = *(const struct thing *const *)left;
	const struct thing *b = *(const struct thing *const *)right;
	int way = thing_order(a, b, sort_of);

	if (!way && a->bytes != b->bytes)
		way = a->bytes < b->bytes ? 1 : -1;
	return way ? way : thing_order(a, b, SAME_ALL);
}

static void sort_list(const struct thing **list, size_t count)
{
	if (count)
		qsort(list, count, sizeof(*list), by_pass);
}

/* How far two shapes are apart: dimensions that differ; many where there are more in one. */
static int shape_distance(const char *a, const char *b)
{
	int apart = 0;

	if (!a || !b)
		return a == b ? 0 : 99;
	for (; *a && *b;) {
		size_t m = strcspn(a, ",]"), n = strcspn(b, ",]");
		apart += m != n || strncmp(a, b, m) != 0;
		a += m + (a[m] != 0);
		b += n + (b[n] != 0);
	}
	return *a || *b ? 99 : apart;
}

static enum change_kind kind_of(const struct change *change, const struct thing *a,
                                const struct thing *b)
{
	if (!a || !b)
		return a ? CHANGE_ONLY_A : CHANGE_ONLY_B;
	if (thing_order(a, b, SAME_BUCKET))
		return CHANGE_BUCKET;
	if (thing_order(a, b, SAME_DTYPE))
		return CHANGE_DTYPE;
	if (thing_order(a, b, SAME_SHAPE))
		return CHANGE_SHAPE;
	/* As many tensors of one shape: the allocator handed out larger blocks for them. */
	return a->shape && change->a_blocks == change->b_blocks ? CHANGE_ROUNDING
	                                                        : CHANGE_MORE;
}

static void put(struct pairing *pairing, const struct thing *a, const struct thing *b)
{
	struct changes *changes = pairing->changes;
	struct change change = {.places = 1};

	if (a) {
		change.a = *a;
		change.a_bytes = a->bytes;
		change.a_blocks = a->blocks;
	}
	if (b) {
		change.b = *b;
		change.b_bytes = b->bytes;
		change.b_blocks = b->blocks;
	}
	change.bytes = change.b_bytes - change.a_bytes;
	change.kind = kind_of(&change, a, b);
	if (!change.bytes &&
	    (change.kind == CHANGE_MORE || change.kind == CHANGE_ROUNDING))
		return;
	change.pattern = a ? a->pattern : b->pattern;
	changes->list = grow(changes->list, changes->count, &pairing->room,
	                     sizeof(*changes->list));
	changes->list[changes->count++] = change;
}

static bool named(const struct thing *thing)
{
	return thing->place || thing->file || thing->op;
}

/* Pairs what is equal in this pass: a[i..), b[j..) of m and n. The closest shapes go together,
 * the largest first. */
static void pair_equal(struct pairing *pairing, size_t i, size_t m, size_t j, size_t n)
{
	for (size_t x = i; x < i + m; x++) {
		size_t best = j + n;
		int least = 100;
		for (size_t y = j; y < j + n; y++) {
			int apart = pairing->b[y] ? shape_distance(pairing->a[x]->shape,
			                                           pairing->b[y]->shape)
			                          : 100;
			if (apart < least) {
				least = apart;
				best = y;
			}
			if (!apart)
				break;
		}
		if (best == j + n)
			return;
		put(pairing, pairing->a[x], pairing->b[best]);
		pairing->a[x] = pairing->b[best] = NULL;
	}
}

static size_t run_length(const struct thing **list, size_t at, size_t count,
                         unsigned of)
{
	size_t end = at + 1;
	while (end < count && !thing_order(list[at], list[end], of))
		end++;
	return end - at;
}

static void drop_paired(const struct thing **list, size_t *count)
{
	size_t kept = 0;
	for (size_t i = 0; i < *count; i++)
		if (list[i])
			list[kept++] = list[i];
	*count = kept;
}

static void one_pass(struct pairing *pairing, const struct pass *pass)
{
	size_t i = 0, j = 0;

	sort_of = pass->of;
	sort_list(pairing->a, pairing->a_count);
	sort_list(pairing->b, pairing->b_count);
	while (i < pairing->a_count && j < pairing->b_count) {
		size_t m = run_length(pairing->a, i, pairing->a_count, pass->of);
		size_t n = run_length(pairing->b, j, pairing->b_count, pass->of);
		int way = thing_order(pairing->a[i], pairing->b[j], pass->of);
		if (!way && (!pass->named || named(pairing->a[i])))
			pair_equal(pairing, i, m, j, n);
		i += way <= 0 ? m : 0;
		j += way >= 0 ? n : 0;
	}
	drop_paired(pairing->a, &pairing->a_count);
	drop_paired(pairing->b, &pairing->b_count);
}

static int text_order(const char *a, const char *b)
{
	return a == b ? 0 : !a ? -1 : !b ? 1 : strcmp(a, b);
}

/* An order of changes by what they say, but for how much and for numbers in names. */
static int by_saying(const void *left, const void *right)
{
	const struct change *a = left, *b = right;
	int way = (int)a->kind - (int)b->kind;

	if (!way && a->kind == CHANGE_ROUNDING)
		return thing_order(&a->b, &b->b, SAME_BUCKET);
	if (!way)
		way = text_order(a->pattern, b->pattern);
	if (!way)
		way = (a->bytes > 0) - (b->bytes > 0);
	if (!way)
		way = thing_order(&a->a, &b->a, SAME_ALL & ~SAME_PLACE);
	if (!way)
		way = thing_order(&a->b, &b->b, SAME_ALL & ~SAME_PLACE);
	return way;
}

static int64_t size_of(const struct change *change)
{
	if (change->kind == CHANGE_BUCKET)
		return change->b_bytes;
	return change->bytes < 0 ? -change->bytes : change->bytes;
}

static int by_size(const void *left, const void *right)
{
	const struct change *a = left, *b = right;
	bool moved_a = a->kind == CHANGE_BUCKET, moved_b = b->kind == CHANGE_BUCKET;

	if (moved_a != moved_b) /* they change no sum: after those that do */
		return moved_a - moved_b;
	if (size_of(a) != size_of(b))
		return size_of(a) < size_of(b) ? 1 : -1;
	return by_saying(left, right);
}

static void fold(struct changes *changes)
{
	size_t made = 0;

	if (changes->count)
		qsort(changes->list, changes->count, sizeof(*changes->list), by_saying);
	for (size_t i = 0; i < changes->count; i++) {
		struct change *from = &changes->list[i];
		struct change *into = made ? &changes->list[made - 1] : NULL;
		if (!into || by_saying(into, from)) {
			changes->list[made++] = *from;
			continue;
		}
		into->places += from->places;
		into->bytes += from->bytes;
		into->a_bytes += from->a_bytes;
		into->b_bytes += from->b_bytes;
		into->a_blocks += from->a_blocks;
		into->b_blocks += from->b_blocks;
	}
	changes->count = made;
	if (made)
		qsort(changes->list, made, sizeof(*changes->list), by_size);
}

static const struct thing **listed(const struct things *things)
{
	const struct thing **list = allocate((things->count + 1) * sizeof(*list));

	for (size_t i = 0; i < things->count; i++)
		list[i] = &things->list[i];
	return list;
}

void changes_find(const struct things *a, const struct things *b,
                  struct changes *changes)
{
	struct pairing pairing = {.changes = changes,
	                          .a = listed(a),
	                          .b = listed(b),
	                          .a_count = a->count,
	                          .b_count = b->count};

	*changes = (struct changes){.bytes = b->bytes - a->bytes};
	for (int i = 0; i < PASSES; i++)
		one_pass(&pairing, &passes[i]);
	for (size_t i = 0; i < pairing.a_count; i++)
		put(&pairing, pairing.a[i], NULL);
	for (size_t i = 0; i < pairing.b_count; i++)
		put(&pairing, NULL, pairing.b[i]);
	free(pairing.a);
	free(pairing.b);
	fold(changes);
	dimension_find(changes);
}

void changes_free(struct changes *changes)
{
	free(changes->list);
	*changes = (struct changes){0};
}

bool changes_equal(const struct changes *one, const struct changes *other)
{
	if (one->count != other->count || one->bytes != other->bytes)
		return false;
	for (size_t i = 0; i < one->count; i++)
		if (one->list[i].bytes != other->list[i].bytes ||
		    by_saying(&one->list[i], &other->list[i]))
			return false;
	return true;
}
