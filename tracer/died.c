/* died.c - the one line about a run that ended out of memory.
 * Called from: thread.c, on the writer's thread, when everything is in the trace and nobody is
 * traced any more. */
#include "died.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "store_queries.h"

struct refusal {
	bool found;
	int64_t step, phase, stack;
	char name[32], line[200];
};

static void take_refusal(struct tmk_row *row, void *context)
{
	struct refusal *r = context;
	const char *name = tmk_row_text(row, 3);

	r->found = true;
	r->step = tmk_row_int(row, 0);
	r->phase = tmk_row_int(row, 1);
	r->stack = tmk_row_int(row, 2);
	snprintf(r->name, sizeof(r->name), "%s", name ? name : "other");
}

static void take_stack(struct tmk_row *row, void *context)
{
	((struct refusal *)context)->stack = tmk_row_int(row, 0);
}

static bool is_library(const char *file)
{
	static const char *const marks[] = {
#define LIBRARY(part) part,
#include "libraries.def"
#undef LIBRARY
	};
	for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++)
		if (strstr(file, marks[i]))
			return true;
	return *file == '<';
}

static void take_frame(struct tmk_row *row, void *context)
{
	struct refusal *r = context;
	const char *file = tmk_row_text(row, 0), *slash;

	if (*r->line || !file || is_library(file))
		return;
	slash = strrchr(file, '/');
	snprintf(r->line, sizeof(r->line), " (%s:%" PRId64 ")",
	         slash ? slash + 1 : file, tmk_row_int(row, 1));
}

bool tmk_died_text(struct tmk_store *s, char *text, size_t size)
{
	struct refusal r = {.stack = TMK_NULL};

	tmk_store_read(s, sql_last_refusal, take_refusal, &r);
	if (!r.found)
		return false;
	if (r.stack == TMK_NULL)
		tmk_store_ask(s, sql_newest_stack, (int64_t[]){r.step, r.phase}, 2,
		              take_stack, &r);
	if (r.stack != TMK_NULL)
		tmk_store_ask(s, sql_python_frames, &r.stack, 1, take_frame, &r);
	snprintf(text, size, "step %" PRId64 ", %s%s", r.step, r.name, r.line);
	return true;
}
