/* calls.c - the stack of an allocation: native frames down to Python, then Python's.
 * Called from: memory_viz.c, pprof.c, speedscope.c. */
#include "calls.h"

#include <stdlib.h>
#include <string.h>

#include "export_queries.h"
#include "heap.h"

static struct call *add(struct trace *trace, int64_t stack, bool to_python,
                        struct call *calls, size_t *count, size_t *room)
{
	struct rows *rows;

	if (stack < 0)
		return calls;
	rows = db_rows(trace->db, sql_calls, "i", stack);
	while (rows_next(rows)) {
		const char *function = rows_text(rows, 2);
		if (to_python && function && strstr(function, "_PyEval_EvalFrame")) {
			rows_free(rows);
			break;
		}
		calls = grow(calls, *count, room, sizeof(*calls));
		calls[(*count)++] = (struct call){.id = rows_number(rows, 0),
		                                  .native = rows_number(rows, 1),
		                                  .function = rows_copy(rows, 2),
		                                  .file = rows_copy(rows, 3),
		                                  .line = rows_number(rows, 4)};
	}
	return calls;
}

struct call *calls_load(struct trace *trace, const struct site *site, size_t *count)
{
	struct call *calls = NULL;
	size_t room = 0;

	*count = 0;
	if (!site)
		return NULL;
	calls = add(trace, site->native_stack, site->stack >= 0, calls, count, &room);
	return add(trace, site->stack, false, calls, count, &room);
}

void calls_free(struct call *calls, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(calls[i].function);
		free(calls[i].file);
	}
	free(calls);
}
