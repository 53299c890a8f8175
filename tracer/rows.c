/* rows.c - the virtual table of rows.h (https://sqlite.org/vtab.html): eponymous, read in one
 * pass from first to last. */
#include "rows.h"

#include <stdio.h>
#include <stdlib.h>

struct table {
	sqlite3_vtab base;
	const struct tmk_rows *rows;
};

struct cursor {
	sqlite3_vtab_cursor base;
	const struct tmk_rows *rows;
	int row;
};

static int connect(sqlite3 *db, void *rows, int argc, const char *const *argv,
                   sqlite3_vtab **out, char **message)
{
	char sql[1024];
	int n = snprintf(sql, sizeof sql, "CREATE TABLE tmk_rows (c0");
	(void)argc, (void)argv, (void)message;
	for (int i = 1; i < ((struct tmk_rows *)rows)->columns; i++)
		n += snprintf(sql + n, sizeof sql - (size_t)n, ", c%d", i);
	snprintf(sql + n, sizeof sql - (size_t)n, ")");
	int rc = sqlite3_declare_vtab(db, sql);
	struct table *t = rc == SQLITE_OK ? calloc(1, sizeof *t) : NULL;
	if (!t)
		return rc == SQLITE_OK ? SQLITE_NOMEM : rc;
	t->rows = rows;
	*out = &t->base;
	return SQLITE_OK;
}

static int disconnect(sqlite3_vtab *t)
{
	free(t);
	return SQLITE_OK;
}

static int best_index(sqlite3_vtab *t, sqlite3_index_info *info)
{
	(void)t;
	info->estimatedCost = 1;
	return SQLITE_OK;
}

static int open_cursor(sqlite3_vtab *t, sqlite3_vtab_cursor **out)
{
	struct cursor *c = calloc(1, sizeof *c);
	if (!c)
		return SQLITE_NOMEM;
	c->rows = ((struct table *)t)->rows;
	*out = &c->base;
	return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *c)
{
	free(c);
	return SQLITE_OK;
}

static int begin(sqlite3_vtab_cursor *c, int number, const char *name, int argc,
                 sqlite3_value **argv)
{
	(void)number, (void)name, (void)argc, (void)argv;
	((struct cursor *)c)->row = 0;
	return SQLITE_OK;
}

static int next(sqlite3_vtab_cursor *c)
{
	((struct cursor *)c)->row++;
	return SQLITE_OK;
}

static int at_end(sqlite3_vtab_cursor *cursor)
{
	const struct cursor *c = (struct cursor *)cursor;
	return c->row >= c->rows->count;
}

static int column(sqlite3_vtab_cursor *cursor, sqlite3_context *result, int i)
{
	const struct cursor *c = (struct cursor *)cursor;
	int64_t value = c->rows->value[c->row * c->rows->columns + i];
	if (value != INT64_MIN) /* else NULL, which it is already */
		sqlite3_result_int64(result, value);
	return SQLITE_OK;
}

static int rowid(sqlite3_vtab_cursor *c, sqlite3_int64 *out)
{
	*out = ((struct cursor *)c)->row;
	return SQLITE_OK;
}

int tmk_rows_offer(sqlite3 *db, struct tmk_rows *rows)
{
	static const sqlite3_module module = {
	        .xConnect = connect,
	        .xDisconnect = disconnect,
	        .xBestIndex = best_index,
	        .xOpen = open_cursor,
	        .xClose = close_cursor,
	        .xFilter = begin,
	        .xNext = next,
	        .xEof = at_end,
	        .xColumn = column,
	        .xRowid = rowid,
	};
	return sqlite3_create_module_v2(db, "tmk_rows", &module, rows, NULL);
}
