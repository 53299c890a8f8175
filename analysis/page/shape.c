/* shape.c - one step with rows of its own, as the page draws it.
 *
 * The page has either every block of it, from which it draws the curve, or the largest blocks
 * and the curve as samples. A curve is thinned by stretches of time: of each the highest and the
 * lowest instant are kept, with what each bucket held then, so no peak is lost.
 * Called from: device.c. */
#include "shape.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "page_queries.h"

enum { LEVELS = 9 }; /* buckets inside allocated memory: all but cache and context */

/* A birth (which >= 0) or a death of a life. */
struct turn {
	int64_t ordinal, which;
};

void shape_load(struct trace *trace, int64_t device, const struct step *step,
                struct shape *shape)
{
	struct rows *rows;

	trace_ended(trace);
	rows = db_rows(trace->db, sql_shape_rows, "iiii", device, step->first,
	               step->last, step->pattern);
	*shape = (struct shape){.step = step->pattern,
	                        .start_ns = step->pattern_start_ns};
	while (rows_next(rows)) {
		shape->lives = grow(shape->lives, shape->count, &shape->room,
		                    sizeof(*shape->lives));
		shape->lives[shape->count++] =
		        (struct life){.born_step = (int32_t)rows_number(rows, 0),
		                      .born = (uint32_t)rows_number(rows, 1),
		                      .born_ns = rows_number(rows, 2),
		                      .died_step = (int32_t)rows_number_or(rows, 3, -1),
		                      .died = (uint32_t)rows_number(rows, 4),
		                      .died_ns = rows_number(rows, 5),
		                      .bytes = rows_number(rows, 6),
		                      .bucket = (int32_t)rows_number(rows, 7),
		                      .site = rows_number(rows, 8),
		                      .address = rows_number(rows, 9)};
	}
}

void shape_free(struct shape *shape)
{
	free(shape->lives);
	*shape = (struct shape){0};
}

static int by_birth(const void *left, const void *right)
{
	const struct life *a = left, *b = right;
	if (a->born_step != b->born_step)
		return a->born_step < b->born_step ? -1 : 1;
	return a->born < b->born ? -1 : a->born > b->born;
}

/* The most-th largest size: byte by byte of it, from the highest, how many sizes have each. */
static int64_t size_of_rank(const struct shape *shape, size_t most)
{
	uint64_t known = 0, mask = 0;

	for (int shift = 56; shift >= 0; shift -= 8) {
		size_t having[256] = {0};
		int byte = 255;
		for (size_t i = 0; i < shape->count; i++) {
			uint64_t size = (uint64_t)shape->lives[i].bytes ^ INT64_MIN;
			if ((size & mask) == known)
				having[size >> shift & 255]++;
		}
		while (byte && having[byte] < most)
			most -= having[byte--];
		known |= (uint64_t)byte << shift;
		mask |= (uint64_t)255 << shift;
	}
	return (int64_t)(known ^ INT64_MIN);
}

/* The smallest size that is kept, and how many of that size are. */
static int64_t threshold(const struct shape *shape, size_t most, size_t *of_that_size)
{
	int64_t least;

	*of_that_size = shape->count <= most ? shape->count : most;
	if (shape->count <= most)
		return INT64_MIN;
	if (!most)
		return INT64_MAX;
	least = size_of_rank(shape, most);
	for (size_t i = 0; i < shape->count; i++)
		*of_that_size -= shape->lives[i].bytes > least;
	return least;
}

static void pack_life(const struct shape *shape, const struct life *life,
                      const struct life *before, struct used *used, struct pack *pack)
{
	struct block block = {.address = life->address,
	                      .bytes = life->bytes,
	                      .born_step = life->born_step,
	                      .died_step = life->died_step,
	                      .born = life->born,
	                      .died = life->died};
	bool enters = life->born_step < shape->step;

	pack_number(pack, (uint64_t)(shape->step - life->born_step));
	if (!enters) {
		bool first = !before || before->born_step < shape->step;
		pack_signed(pack, (int64_t)life->born - (first ? 0 : before->born));
		pack_signed(pack, life->born_ns -
		                          (first ? shape->start_ns : before->born_ns));
	}
	/* 0: never; odd: in so many steps; even: in this one, so many events later. */
	if (life->died_step < 0) {
		pack_number(pack, 0);
	} else if (life->died_step > shape->step) {
		pack_number(pack, 2 * (uint64_t)(life->died_step - shape->step) + 1);
	} else {
		pack_number(pack,
		            2 * (uint64_t)(life->died - (enters ? 0 : life->born)) + 2);
		pack_signed(pack,
		            life->died_ns - (enters ? shape->start_ns : life->born_ns));
	}
	pack_number(pack, (uint64_t)life->bytes);
	pack_number(pack, (uint64_t)life->bucket);
	pack_number(pack, used_site(used, life->site));
	pack_number(pack, used_owner(used, &block, life->bucket));
}

/* Packs those that are large enough, by birth. */
static size_t pack_lives(const struct shape *shape, size_t most, struct used *used,
                         struct pack *pack, struct thinned *thinned)
{
	size_t of_least, kept = 0, room = shape->count < most ? shape->count : most;
	int64_t least = threshold(shape, most, &of_least);
	struct life *lives = allocate((room + 1) * sizeof(*lives));

	for (size_t i = 0; i < shape->count && kept < room; i++) {
		const struct life *life = &shape->lives[i];
		if (life->bytes < least || (life->bytes == least && !of_least))
			continue;
		of_least -= life->bytes == least;
		lives[kept++] = *life;
	}
	if (kept)
		qsort(lives, kept, sizeof(*lives), by_birth);
	pack_number(pack, kept);
	for (size_t i = 0; i < kept; i++)
		pack_life(shape, &lives[i], i ? &lives[i - 1] : NULL, used, pack);
	free(lives);
	thinned->blocks = (int64_t)(shape->count - kept);
	thinned->smallest = kept && kept < shape->count ? least : 0;
	return kept;
}

static int by_ordinal(const void *left, const void *right)
{
	int64_t a = ((const struct turn *)left)->ordinal;
	int64_t b = ((const struct turn *)right)->ordinal;
	return a < b ? -1 : a > b;
}

/* Events of a step are numbered without gaps: most often each has its place at once. */
static bool place_turns(struct turn *turns, size_t count)
{
	int64_t last = -1;
	struct turn *placed;

	for (size_t i = 0; i < count; i++)
		last = turns[i].ordinal > last ? turns[i].ordinal : last;
	if (last < 0 || (size_t)last >= 4 * count)
		return false;
	placed = allocate(((size_t)last + 1) * sizeof(*placed));
	for (int64_t i = 0; i <= last; i++)
		placed[i].ordinal = -1;
	for (size_t i = 0; i < count; i++) {
		struct turn *place = &placed[turns[i].ordinal];
		if (place->ordinal >= 0) {
			free(placed);
			return false;
		}
		*place = turns[i];
	}
	for (int64_t i = 0, at = 0; i <= last; i++)
		if (placed[i].ordinal >= 0)
			turns[at++] = placed[i];
	free(placed);
	return true;
}

static struct turn *turns_of(const struct shape *shape, size_t *count)
{
	struct turn *turns = allocate((2 * shape->count + 1) * sizeof(*turns));

	*count = 0;
	for (size_t i = 0; i < shape->count; i++) {
		const struct life *life = &shape->lives[i];
		if (life->born_step == shape->step)
			turns[(*count)++] = (struct turn){life->born, (int64_t)i};
		if (life->died_step == shape->step)
			turns[(*count)++] = (struct turn){life->died, -(int64_t)i - 1};
	}
	if (*count && !place_turns(turns, *count))
		qsort(turns, *count, sizeof(*turns), by_ordinal);
	return turns;
}

/* The curve at one instant. */
struct instant {
	int64_t time_ns, ordinal, all, of[LEVELS];
};

struct curve {
	struct pack rows;
	struct instant last; /* packed so far */
	size_t count;
};

static void pack_instant(struct curve *curve, const struct instant *instant)
{
	unsigned changed = 0;

	for (int b = 0; b < LEVELS; b++)
		changed |= (unsigned)(instant->of[b] != curve->last.of[b]) << b;
	pack_signed(&curve->rows, instant->time_ns - curve->last.time_ns);
	pack_signed(&curve->rows, instant->ordinal - curve->last.ordinal);
	pack_number(&curve->rows, changed);
	for (int b = 0; b < LEVELS; b++)
		if (changed >> b & 1)
			pack_signed(&curve->rows, instant->of[b] - curve->last.of[b]);
	curve->last = *instant;
	curve->count++;
}

static void pack_both(struct curve *curve, const struct instant *low,
                      const struct instant *high)
{
	bool low_first = low->ordinal < high->ordinal;
	pack_instant(curve, low_first ? low : high);
	if (low->ordinal != high->ordinal)
		pack_instant(curve, low_first ? high : low);
}

static void turn_over(const struct shape *shape, const struct turn *turn,
                      struct instant *now)
{
	bool born = turn->which >= 0;
	const struct life *life = &shape->lives[born ? turn->which : -turn->which - 1];
	int64_t bytes = born ? life->bytes : -life->bytes;

	now->time_ns = born ? life->born_ns : life->died_ns;
	now->ordinal = turn->ordinal;
	now->all += bytes;
	if (life->bucket >= 0 && life->bucket < LEVELS)
		now->of[life->bucket] += bytes;
}

static void begin_with(const struct shape *shape, struct instant *now)
{
	*now = (struct instant){.time_ns = shape->start_ns, .ordinal = -1};
	for (size_t i = 0; i < shape->count; i++) {
		const struct life *life = &shape->lives[i];
		if (life->born_step >= shape->step)
			continue;
		now->all += life->bytes;
		if (life->bucket >= 0 && life->bucket < LEVELS)
			now->of[life->bucket] += life->bytes;
	}
}

/* Stretches hold equally many events: where much happens, the curve is finer. */
static void pack_curve(const struct shape *shape, size_t samples, struct pack *pack,
                       struct thinned *thinned)
{
	size_t count;
	struct turn *turns = turns_of(shape, &count);
	size_t stretches = samples / 2 ? samples / 2 : 1;
	struct instant now, low, high;
	struct curve curve = {.last = {.time_ns = shape->start_ns, .ordinal = -1}};

	begin_with(shape, &now);
	pack_instant(&curve, &now);
	for (size_t i = 0; i < count; i++) {
		turn_over(shape, &turns[i], &now);
		size_t stretch = i * stretches / count;
		bool first = !i || (i - 1) * stretches / count != stretch;
		if (first || now.all < low.all)
			low = now;
		if (first || now.all > high.all)
			high = now;
		if (i + 1 == count || (i + 1) * stretches / count != stretch)
			pack_both(&curve, &low, &high);
	}
	if (count && curve.last.ordinal != now.ordinal)
		pack_instant(&curve, &now);
	pack_number(pack, curve.count);
	pack_append(pack, &curve.rows);
	thinned->instants = (int64_t)count + 1 - (int64_t)curve.count;
	pack_free(&curve.rows);
	free(turns);
}

void shape_pack(const struct shape *shape, const struct share *share, struct used *used,
                struct pack *pack, struct thinned *thinned)
{
	*thinned = (struct thinned){0};
	if (pack_lives(shape, share->blocks, used, pack, thinned) == shape->count)
		pack_number(pack, 0); /* the curve follows from the blocks */
	else
		pack_curve(shape, share->samples, pack, thinned);
}
