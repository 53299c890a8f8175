/* growth.c - what stays alive from step to step, and more of it with every step.
 *
 * A block is kept in step k if it was there before k began and after k ended; every such
 * block has a row, folded steps or not (schema.sql). A place grows if it keeps more at
 * the end of the run than at its middle, never fell in between, and rose at least twice.
 */
#include "growth.h"

#include <stdlib.h>
#include <string.h>

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

static void read_blocks(struct trace *trace, const struct places *places,
                        int64_t device, struct series *series, struct growth *growth)
{
	struct grower now = {.site = -1};
	size_t room = 0;
	struct rows *rows = db_rows(
	        trace->db,
	        "SELECT site, bucket, address, bytes, born_step, died_step "
	        "FROM allocation INDEXED BY allocation_crossing WHERE device = ? AND "
	        "(died_step IS NULL OR died_step > born_step) AND born_step >= 1 AND "
	        "(died_step IS NULL OR died_step > born_step + 1) "
	        "ORDER BY site, bucket, born_step",
	        "i", device);
	for (;;) {
		bool more = rows_next(rows);
		struct block block;
		if (!more || now.site != rows_number(rows, 0) ||
		    now.bucket != rows_number(rows, 1)) {
			if (now.site >= 0 && judge(series, growth, &now))
				put(growth, &room, &now);
			if (!more)
				break;
			clear(series);
			now = (struct grower){.site = rows_number(rows, 0),
			                      .bucket = rows_number(rows, 1),
			                      .since = rows_number(rows, 4)};
		}
		block = (struct block){rows_number(rows, 2), rows_number(rows, 3),
		                       rows_number(rows, 4),
		                       rows_number_or(rows, 5, -1)};
		count_block(series, &block);
		if (block.bytes > now.largest)
			now.largest = block.bytes;
		if (!now.owner)
			now.owner = places_owner(places, &block);
	}
}

static int64_t start_of(struct trace *trace, int64_t device, int64_t step)
{
	int64_t start = 0;
	struct rows *rows = db_rows(trace->db,
	                            "SELECT start_allocated FROM step_device WHERE "
	                            "device = ? AND step <= ? ORDER BY step DESC",
	                            "ii", device, step);
	if (rows_next(rows)) {
		start = rows_number(rows, 0);
		rows_free(rows);
	}
	return start;
}

void growth_load(struct trace *trace, const struct places *places,
                 const struct device *device, struct growth *growth)
{
	struct series series = {
	        .last = db_number(trace->db, 0,
	                          "SELECT max(id) FROM step WHERE complete = 1")};

	*growth = (struct growth){.to = series.last};
	growth->from = series.last / 2 < 2 ? 2 : series.last / 2;
	if (series.last < FEWEST) {
		growth->too_short = true;
		growth->from = series.last;
		return;
	}
	series.bytes = allocate((size_t)(series.last + 1) * sizeof(int64_t));
	series.blocks = allocate((size_t)(series.last + 1) * sizeof(int64_t));
	read_blocks(trace, places, device->id, &series, growth);
	free(series.bytes);
	free(series.blocks);
	if (growth->count)
		qsort(growth->list, growth->count, sizeof(*growth->list), by_growth);
	growth->level = start_of(trace, device->id, growth->to) -
	                start_of(trace, device->id, growth->from);
}

void growth_free(struct growth *growth)
{
	free(growth->list);
	*growth = (struct growth){0};
}

const struct grower *growth_find(const struct growth *growth, int64_t site,
                                 int64_t bucket)
{
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
