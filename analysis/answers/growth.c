/* growth.c - what stays alive from step to step, and more of it with every step.
 *
 * A block is kept in step k if it was there before k began and after k ended; every such
 * block has a row, folded steps or not (schema.sql). A place grows if it keeps more at
 * the end of the run than at its middle, never fell in between, and rose at least twice.
 * Called from: advice/, answers/, commands/, compare/, job/, live/. */
#include "growth.h"

#include <stdlib.h>
#include <string.h>

#include "answers_queries.h"
#include "heap.h"

enum { FEWEST = 4 }; /* steps: optimizer states come in the first, and two must rise */

struct series {
	int64_t *bytes, *blocks; /* change in what is kept, by step */
	int64_t last;            /* the last complete step */
};

static bool judge(const struct series *series, struct growth *growth,
                  struct grower *grower)
{
	int64_t now = 0, blocks = 0, middle = 0, middle_blocks = 0, most = 0;
	int rises = 0;

	for (int64_t k = 0; k <= series->last; k++) {
		now += series->bytes[k];
		blocks += series->blocks[k];
		if (k == growth->from) {
			middle = most = now;
			middle_blocks = blocks;
		}
		if (k > growth->from && now > most) {
			rises++;
			most = now;
		}
	}
	grower->bytes = now;
	grower->blocks = blocks;
	grower->grown = now - middle;
	grower->grown_blocks = blocks - middle_blocks;
	return rises >= 2 && now == most;
}

static void put(struct growth *growth, size_t *room, const struct grower *grower)
{
	growth->list = grow(growth->list, growth->count, room, sizeof(*growth->list));
	growth->list[growth->count++] = *grower;
	growth->bytes += grower->bytes;
	growth->grown += grower->grown;
	growth->grown_blocks += grower->grown_blocks;
}

static void clear(struct series *series)
{
	size_t size = (size_t)(series->last + 1) * sizeof(int64_t);
	memset(series->bytes, 0, size);
	memset(series->blocks, 0, size);
}

/* A block is kept in the steps born_step + 1 .. died_step - 1. */
static void count_block(struct series *series, const struct block *block)
{
	if (block->born_step + 1 > series->last)
		return;
	series->bytes[block->born_step + 1] += block->bytes;
	series->blocks[block->born_step + 1]++;
	if (block->died_step >= 0 && block->died_step <= series->last) {
		series->bytes[block->died_step] -= block->bytes;
		series->blocks[block->died_step]--;
	}
}

static int by_growth(const void *left, const void *right)
{
	const struct grower *a = left, *b = right;
	if (a->grown != b->grown)
		return a->grown < b->grown ? 1 : -1;
	return a->site < b->site ? -1 : a->site > b->site;
}

struct kept {
	int64_t site, bucket;
	struct block block;
};

static int by_place(const void *left, const void *right)
{
	const struct kept *a = left, *b = right;
	if (a->site != b->site)
		return a->site < b->site ? -1 : 1;
	if (a->bucket != b->bucket)
		return a->bucket < b->bucket ? -1 : 1;
	if (a->block.born_step != b->block.born_step)
		return a->block.born_step < b->block.born_step ? -1 : 1;
	return a->block.born < b->block.born ? -1 : a->block.born > b->block.born;
}

static int64_t first_alike(const struct growth *growth, int64_t site)
{
	const struct site *found = places_site(growth->places, site);
	return found ? growth->first_alike[found - growth->places->sites] : site;
}

static struct kept *read_kept(struct trace *trace, int64_t device,
                              const struct growth *growth, size_t *count)
{
	struct kept *kept = NULL;
	size_t room = 0;
	struct rows *rows =
	        db_rows(trace->db, sql_long_lived, "ii", device, growth->to);
	*count = 0;
	while (rows_next(rows)) {
		kept = grow(kept, *count, &room, sizeof(*kept));
		kept[(*count)++] = (struct kept){
		        .site = first_alike(growth, rows_number(rows, 0)),
		        .bucket = rows_number(rows, 1),
		        .block = {.address = rows_number(rows, 2),
		                  .bytes = rows_number(rows, 3),
		                  .born_step = rows_number(rows, 4),
		                  .died_step = rows_number_or(rows, 5, -1),
		                  .born = rows_number(rows, 6),
		                  .died = rows_number_or(rows, 7, -1)}};
	}
	if (*count)
		qsort(kept, *count, sizeof(*kept), by_place);
	return kept;
}

static void judge_all(const struct kept *kept, size_t count, struct series *series,
                      struct growth *growth)
{
	struct grower now = {.site = -1};
	size_t room = 0;

	for (size_t i = 0; i < count; i++) {
		const struct block *block = &kept[i].block;
		bool last = i + 1 == count || kept[i + 1].site != kept[i].site ||
		            kept[i + 1].bucket != kept[i].bucket;
		if (now.site < 0)
			now = (struct grower){.site = kept[i].site,
			                      .bucket = kept[i].bucket,
			                      .since = block->born_step};
		count_block(series, block);
		if (block->bytes > now.largest)
			now.largest = block->bytes;
		if (!now.owner)
			now.owner = places_owner(growth->places, block, now.bucket);
		now.born_step = block->born_step;
		now.born = block->born;
		if (!last)
			continue;
		if (judge(series, growth, &now))
			put(growth, &room, &now);
		clear(series);
		now.site = -1;
	}
}

/* Sites that are alike stand for the first of them: sequences of many lengths make many
 * sites of one line. Sorted by hash of what makes them alike, so that it stays quick. */
static void find_alike(struct growth *growth, const struct places *places)
{
	enum { SLOTS = 4096 };
	size_t *head = allocate(SLOTS * sizeof(*head));
	size_t *next = allocate((places->site_count + 1) * sizeof(*next));

	growth->first_alike = allocate(places->site_count * sizeof(int64_t));
	for (size_t i = 0; i < places->site_count; i++) {
		const struct site *site = &places->sites[i];
		size_t *slot = &head[(uint64_t)site->stack % SLOTS];
		size_t at = *slot;
		while (at && !places_alike(&places->sites[at - 1], site))
			at = next[at];
		growth->first_alike[i] = at ? places->sites[at - 1].id : site->id;
		if (!at) {
			next[i + 1] = *slot;
			*slot = i + 1;
		}
	}
	free(head);
	free(next);
}

static void find_root(struct growth *growth)
{
	const struct grower *newest = NULL;

	for (size_t i = 0; i < growth->count; i++) {
		const struct grower *grower = &growth->list[i];
		if (!newest || grower->born_step > newest->born_step ||
		    (grower->born_step == newest->born_step &&
		     grower->born > newest->born))
			newest = grower;
	}
	growth->root = newest ? newest->site : -1;
}

static int64_t start_of(struct trace *trace, int64_t device, int64_t step)
{
	return rows_first(db_rows(trace->db,
	                          "SELECT start_allocated FROM step_device WHERE "
	                          "device = ? AND step <= ? ORDER BY step DESC",
	                          "ii", device, step),
	                  0);
}

void growth_load(struct trace *trace, const struct places *places,
                 const struct device *device, int64_t upto, struct growth *growth)
{
	struct series series = {
	        .last = db_number(trace->db, 0,
	                          "SELECT max(id) FROM step WHERE complete = 1")};
	struct kept *kept;
	size_t count;

	if (upto >= 0 && upto < series.last)
		series.last = upto;
	*growth = (struct growth){.to = series.last, .root = -1, .places = places};
	growth->from = series.last / 2 < 2 ? 2 : series.last / 2;
	if (series.last < FEWEST) {
		growth->too_short = true;
		growth->from = series.last;
		return;
	}
	find_alike(growth, places);
	series.bytes = allocate((size_t)(series.last + 1) * sizeof(int64_t));
	series.blocks = allocate((size_t)(series.last + 1) * sizeof(int64_t));
	kept = read_kept(trace, device->id, growth, &count);
	judge_all(kept, count, &series, growth);
	free(kept);
	free(series.bytes);
	free(series.blocks);
	if (growth->count)
		qsort(growth->list, growth->count, sizeof(*growth->list), by_growth);
	find_root(growth);
	growth->level = start_of(trace, device->id, growth->to) -
	                start_of(trace, device->id, growth->from);
}

void growth_free(struct growth *growth)
{
	free(growth->list);
	free(growth->first_alike);
	*growth = (struct growth){0};
}

const struct grower *growth_find(const struct growth *growth, int64_t site,
                                 int64_t bucket)
{
	if (!growth->count)
		return NULL;
	site = first_alike(growth, site);
	for (size_t i = 0; i < growth->count; i++)
		if (growth->list[i].site == site && growth->list[i].bucket == bucket)
			return &growth->list[i];
	return NULL;
}

int64_t growth_rate(const struct growth *growth)
{
	return growth->to > growth->from ? growth->grown / (growth->to - growth->from)
	                                 : 0;
}
