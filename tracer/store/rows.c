/* rows.c - a virtual table (https://sqlite.org/vtab.html), eponymous, read from first to
 * last: half the cost of an INSERT is binding its values one by one.
 * Called from: store.c. */
#include "rows.h"

#include <stdio.h>
#include <stdlib.h>

struct rows_table {
	sqlite3_vtab base;
	const struct tmk_rows *rows;
};

struct rows_cursor {
	sqlite3_vtab_cursor base;
	const struct tmk_rows *rows;
	int row;
};

static int rows_connect(sqlite3 *db, void *rows, int argc, const char *const *argv,
                        sqlite3_vtab **out, char **message)
{
	char sql[1024];
	int n = snprintf(sql, sizeof(sql), "CREATE TABLE tmk_rows (c0");
	(void)argc, (void)argv, (void)message;
	for (int i = 1; i < ((struct tmk_rows *)rows)->columns; i++)
		n += snprintf(sql + n, sizeof(sql) - (size_t)n, ", c%d", i);
	snprintf(sql + n, sizeof(sql) - (size_t)n, ")");
	int rc = sqlite3_declare_vtab(db, sql);
	struct rows_table *t = rc == SQLITE_OK ? calloc(1, sizeof(*t)) : NULL;
	if (!t)
		return rc == SQLITE_OK ? SQLITE_NOMEM : rc;
	t->rows = rows;
	*out = &t->base;
	return SQLITE_OK;
}

static int rows_disconnect(sqlite3_vtab *t)
{
	free(t);
	return SQLITE_OK;
}

static int rows_best_index(sqlite3_vtab *t, sqlite3_index_info *info)
{
	(void)t;
	info->estimatedCost = 1;
	return SQLITE_OK;
}

static int rows_open(sqlite3_vtab *t, sqlite3_vtab_cursor **out)
{
	struct rows_cursor *c = calloc(1, sizeof(*c));
	if (!c)
		return SQLITE_NOMEM;
	c->rows = ((struct rows_table *)t)->rows;
	*out = &c->base;
	return SQLITE_OK;
}

static int rows_close(sqlite3_vtab_cursor *c)
{
	free(c);
	return SQLITE_OK;
}

static int rows_begin(sqlite3_vtab_cursor *c, int number, const char *name, int argc,
                      sqlite3_value **argv)
{
	(void)number, (void)name, (void)argc, (void)argv;
	((struct rows_cursor *)c)->row = 0;
	return SQLITE_OK;
}

static int rows_next(sqlite3_vtab_cursor *c)
{
	((struct rows_cursor *)c)->row++;
	return SQLITE_OK;
}

static int rows_at_end(sqlite3_vtab_cursor *cursor)
{
	const struct rows_cursor *c = (struct rows_cursor *)cursor;
	return c->row >= c->rows->count;
}

static int rows_column(sqlite3_vtab_cursor *cursor, sqlite3_context *result, int i)
{
	const struct rows_cursor *c = (struct rows_cursor *)cursor;
	int64_t value = c->rows->value[c->row * c->rows->columns + i];
	if (value != INT64_MIN) /* else NULL, which it is already */
		sqlite3_result_int64(result, value);
	return SQLITE_OK;
}

static int rows_rowid(sqlite3_vtab_cursor *c, sqlite3_int64 *out)
{
	*out = ((struct rows_cursor *)c)->row;
	return SQLITE_OK;
}

int tmk_rows_offer(sqlite3 *db, struct tmk_rows *rows)
{
	static const sqlite3_module module = {
	        .xConnect = rows_connect,
	        .xDisconnect = rows_disconnect,
	        .xBestIndex = rows_best_index,
	        .xOpen = rows_open,
	        .xClose = rows_close,
	        .xFilter = rows_begin,
	        .xNext = rows_next,
	        .xEof = rows_at_end,
	        .xColumn = rows_column,
	        .xRowid = rows_rowid,
	};
	return sqlite3_create_module_v2(db, "tmk_rows", &module, rows, NULL);
}
