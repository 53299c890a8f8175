/* alike.c - see alike.h.
 * Called from: site.c. */
#include "alike.h"

#include "db.h"
#include "trace_queries.h"

static int64_t first_of(const struct map *map, int64_t id)
{
	int64_t first;

	return map_find(map, id, 0, &first) ? first : id;
}

/* False where every frame reads otherwise than all others: then so does every stack. */
static bool load_frames(struct trace *trace, struct map *frames)
{
	struct rows *rows = db_rows(trace->db, sql_frames_alike, "");

	while (rows_next(rows))
		map_put(frames, rows_number(rows, 0), 0, rows_number(rows, 1));
	return frames->count > 0;
}

void alike_load(struct trace *trace, struct alike *alike)
{
	struct map frames = {0}, known = {0}; /* known: caller and frame -> stack */

	*alike = (struct alike){0};
	if (load_frames(trace, &frames)) {
		struct rows *rows = db_rows(trace->db, sql_python_stacks, "");
		while (rows_next(rows)) {
			int64_t id = rows_number(rows, 0), first;
			int64_t caller = alike_stack(alike, rows_number(rows, 1));
			int64_t frame = first_of(&frames, rows_number(rows, 2));
			if (map_find(&known, caller, frame, &first))
				map_put(&alike->first, id, 0, first);
			else
				map_put(&known, caller, frame, id);
		}
	}
	map_free(&frames);
	map_free(&known);
}

void alike_free(struct alike *alike)
{
	map_free(&alike->first);
}

int64_t alike_stack(const struct alike *alike, int64_t stack)
{
	return alike->first.count ? first_of(&alike->first, stack) : stack;
}
