/* dimension.c - a batch, or another dimension of what a step is given, that is larger in one run.
 *
 * It is said only where the data say it: what the step is given (bucket input) has another number
 * in one dimension, and nearly all other shapes that changed did so by the same ratio, in one
 * dimension each.
 * Called from: changes.c. */
#include <stdlib.h>
#include <string.h>

#include "changes.h"

enum {
	DIMENSIONS = 8,
	ENOUGH = 90
}; /* ENOUGH: percent of the bytes whose shapes changed */

struct numbers {
	int64_t of[DIMENSIONS];
	int count; /* 0: not known */
};

static struct numbers numbers_of(const char *shape)
{
	struct numbers numbers = {0};

	while (shape && *shape && numbers.count < DIMENSIONS) {
		char *end;
		int64_t number = strtoll(shape + 1, &end, 10);
		if (end == shape + 1)
			break;
		numbers.of[numbers.count++] = number;
		shape = end;
	}
	return numbers;
}

/* The one dimension in which two shapes differ; -1: in none, in several, in their number. */
static int only_dimension(const struct change *change, int64_t *a, int64_t *b)
{
	struct numbers one = numbers_of(change->a.shape);
	struct numbers other = numbers_of(change->b.shape);
	int found = -1;

	if (change->kind != CHANGE_SHAPE || one.count != other.count)
		return -1;
	for (int i = 0; i < one.count; i++) {
		if (one.of[i] == other.of[i])
			continue;
		if (found >= 0)
			return -1;
		found = i;
	}
	if (found < 0)
		return -1;
	*a = one.of[found];
	*b = other.of[found];
	return found;
}

/* [8, 512] and [4096] both have a batch of 8, alone or times another dimension. */
static bool by_the_same(const struct dimension *dimension, int64_t a, int64_t b)
{
	return a > 0 && b > 0 && a % dimension->a == 0 && b % dimension->b == 0 &&
	       a / dimension->a == b / dimension->b;
}

/* Of several the largest tensor's; one of one dimension may be flat and tells less. */
static void from_inputs(const struct changes *changes, struct dimension *dimension)
{
	int64_t most = -1;

	for (size_t i = 0; i < changes->count; i++) {
		const struct change *change = &changes->list[i];
		int64_t a, b;
		int index = only_dimension(change, &a, &b);
		if (index < 0 || a < 1 || b < 1 || !change->a.bucket ||
		    strcmp(change->a.bucket, "input") != 0 ||
		    numbers_of(change->a.shape).count < 2 || change->a_bytes <= most)
			continue;
		most = change->a_bytes;
		*dimension = (struct dimension){.a = a, .b = b, .index = index};
	}
}

static bool is_weight(const struct change *change)
{
	const char *bucket = change->a.bucket ? change->a.bucket : "";
	return !strcmp(bucket, "parameter") || !strcmp(bucket, "gradient") ||
	       !strcmp(bucket, "optimizer") || !strcmp(bucket, "buffer");
}

static double size_of(const struct change *change)
{
	return change->bytes < 0 ? -(double)change->bytes : (double)change->bytes;
}

void dimension_find(struct changes *changes)
{
	struct dimension *dimension = &changes->dimension;
	double all = 0, explained = 0, beyond = 0; /* beyond: that are no input */
	int64_t a, b;

	*dimension = (struct dimension){0};
	from_inputs(changes, dimension);
	if (!dimension->a)
		return;
	for (size_t i = 0; i < changes->count; i++) {
		struct change *change = &changes->list[i];
		if (change->kind != CHANGE_SHAPE || is_weight(change))
			continue;
		all += size_of(change);
		change->batch = only_dimension(change, &a, &b) >= 0 &&
		                by_the_same(dimension, a, b);
		if (!change->batch)
			continue;
		explained += size_of(change);
		if (strcmp(change->a.bucket, "input") != 0)
			beyond += size_of(change);
		dimension->bytes += change->bytes;
		dimension->places += change->places;
	}
	if (beyond > 0 && explained * 100 >= all * ENOUGH)
		return;
	*dimension = (struct dimension){0};
	for (size_t i = 0; i < changes->count; i++)
		changes->list[i].batch = false;
}
