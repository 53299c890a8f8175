/* died.c - the one line about a run that ended out of memory.
 * Called from: thread.c, on the writer's thread, when everything is in the trace and nobody is
 * traced any more. */
#include "died.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct refusal {
	bool found;
	int64_t step, phase, stack;
	char name[32], line[200];
};

static const char last_refusal[] =
        "SELECT o.step, s.phase, s.python_stack, coalesce(p.name, 'other') "
        "FROM oom o LEFT JOIN site s ON s.id = o.site "
        "LEFT JOIN phase p ON p.id = s.phase "
        "WHERE (SELECT value FROM meta WHERE key = 'uncaught') = 'OutOfMemoryError' "
        "ORDER BY o.id DESC LIMIT 1";

/* In a backward no Python runs on the device's thread: the newest line of the phase, else of
 * the step, is the one that began it. The last rows are enough to look at. */
static const char newest_stack[] =
        "SELECT s.python_stack FROM allocation a JOIN site s ON s.id = a.site "
        "WHERE a.id > (SELECT max(id) FROM allocation) - 100000 AND a.born_step = "
        "%" PRId64 " AND s.python_stack NOTNULL "
        "ORDER BY s.phase = %" PRId64 " DESC, a.id DESC LIMIT 1";

static const char frames[] =
        "WITH RECURSIVE up(stack, depth) AS (SELECT %" PRId64
        ", 0 UNION ALL SELECT s.parent, depth + 1 FROM up JOIN stack s ON s.id = "
        "up.stack "
        "WHERE s.parent NOTNULL AND depth < 1000) "
        "SELECT f.file, f.line FROM up JOIN stack s ON s.id = up.stack "
        "JOIN frame f ON f.id = s.frame WHERE f.kind = 'python' ORDER BY depth";

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
	char sql[sizeof(frames) + sizeof(newest_stack) + 64];

	tmk_store_read(s, last_refusal, take_refusal, &r);
	if (!r.found)
		return false;
	if (r.stack == TMK_NULL) {
		snprintf(sql, sizeof(sql), newest_stack, r.step, r.phase);
		tmk_store_read(s, sql, take_stack, &r);
	}
	if (r.stack != TMK_NULL) {
		snprintf(sql, sizeof(sql), frames, r.stack);
		tmk_store_read(s, sql, take_frame, &r);
	}
	snprintf(text, size, "step %" PRId64 ", %s%s", r.step, r.name, r.line);
	return true;
}
