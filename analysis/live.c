/* live.c - what was alive on a device at one instant, block by block.
 *
 * schema.sql's head is the rule. Three queries, because two of them go by the index of
 * rows that cross the border of a step and one by a range of ids; a single one with OR
 * would read the whole table. A folded step's own events are its pattern's; what came
 * in from before and stays past its end is its own. */
#include "live.h"

#include <stdlib.h>

#include "heap.h"

#define COLUMNS                                                                        \
	"SELECT site, bucket, bytes, address, born_step, died_step FROM allocation "
#define CROSSING                                                                       \
	"INDEXED BY allocation_crossing WHERE (died_step IS NULL OR died_step > "      \
	"born_step) "                                                                  \
	"AND device = ?1 "

static void add(struct live *live, struct rows *rows)
{
	while (rows_next(rows)) {
		struct block *block;
		live->blocks = grow(live->blocks, live->count, &live->room,
		                    sizeof(*live->blocks));
		block = &live->blocks[live->count++];
		block->site = rows_number(rows, 0);
		block->bucket = rows_number(rows, 1);
		block->bytes = rows_number(rows, 2);
		block->address = rows_number(rows, 3);
		block->born_step = rows_number(rows, 4);
		block->died_step = rows_number_or(rows, 5, -1);
		live->bytes += block->bytes;
	}
}

int live_at(struct trace *trace, int64_t device, const struct step *step,
            int64_t ordinal, struct live *live)
{
	*live = (struct live){0};
	if (step->thinned)
		return -1;
	add(live,
	    db_rows(trace->db,
	            COLUMNS CROSSING
	            "AND born_step < ?2 AND (died_step IS NULL OR died_step > ?2)",
	            "ii", device, step->id));
	add(live,
	    db_rows(trace->db,
	            COLUMNS
	            "WHERE id BETWEEN ?2 AND ?3 AND device = ?1 AND born_step = ?4 "
	            "AND born <= ?5 AND (died_step IS NULL OR died_step > ?4 OR "
	            "died > ?5)",
	            "iiiii", device, step->first, step->last, step->pattern, ordinal));
	add(live, db_rows(trace->db,
	                  COLUMNS CROSSING
	                  "AND born_step < ?2 AND died_step = ?2 AND died > ?3",
	                  "iii", device, step->pattern, ordinal));
	return 0;
}

void live_free(struct live *live)
{
	free(live->blocks);
	*live = (struct live){0};
}
