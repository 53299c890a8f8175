/* db.c - SQLite, for reading, and for making a new file. The only file of the command that includes sqlite3.h.
 * Called from: advice/, answers/, commands/, compare/, export/, formula/, import/,
 *     job/, live/, measure/, page/, recognise/, reconcile/, run/, trace/, whatif/. */
#include "db.h"

#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"
#include "heap.h"

enum { KEPT = 16 };

struct db {
	sqlite3 *handle;
	const char *name; /* as people know it, for messages */
	time_t opened;
	bool told;                /* a progress line stands on stderr */
	sqlite3_stmt *kept[KEPT]; /* prepared, and not in use: to prepare one takes
	                           * longer than many an answer */
	int kept_next;
};

struct rows {
	struct db *db;
	sqlite3_stmt *statement;
};

/* A file: URI, in which blanks, '%', '?' and '#' of a path must not mean anything. */
static char *uri(const char *path, const char *query)
{
	char *text = allocate(3 * strlen(path) + strlen(query) + 8), *at = text;
	at += sprintf(at, "file:");
	for (; *path; path++) {
		if (strchr("%?# ", *path))
			at += sprintf(at, "%%%02X", (unsigned char)*path);
		else
			*at++ = *path;
	}
	sprintf(at, "%s", query);
	return text;
}

/* SQLite opens lazily, so only a read tells. */
static int open_and_read(sqlite3 **handle, const char *path, const char *query)
{
	char *file = uri(path, query);
	int rc = sqlite3_open_v2(file, handle, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI,
	                         NULL);
	free(file);
	if (rc == SQLITE_OK) {
		sqlite3_busy_timeout(*handle, 5000);
		rc = sqlite3_exec(*handle, "BEGIN; SELECT count(*) FROM sqlite_schema",
		                  NULL, NULL, NULL);
	}
	if (rc != SQLITE_OK)
		sqlite3_close(*handle);
	return rc;
}

struct db *db_open(const char *name, const char *path, const char *query, bool *closed,
                   const char **trouble)
{
	struct db *db;
	sqlite3 *handle;
	int rc = open_and_read(&handle, path, query);

	*closed = rc == SQLITE_CANTOPEN || rc == SQLITE_READONLY || rc == SQLITE_IOERR;
	if (rc != SQLITE_OK) {
		*trouble = rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB
		                   ? "it is truncated or damaged"
		                   : sqlite3_errstr(rc);
		return NULL;
	}
	db = allocate(sizeof(*db));
	db->name = name;
	db->handle = handle;
	db->opened = time(NULL);
	return db;
}

/* Called every million or so steps of SQLite's machine. */
static int progress(void *context)
{
	struct db *db = context;
	long waited = (long)(time(NULL) - db->opened);
	if (waited > 2 && !quiet && isatty(STDERR_FILENO)) {
		fprintf(stderr, "\rtidemark: reading '%s' … %ld s ", db->name, waited);
		db->told = true;
	}
	return 0;
}

void db_show_progress(struct db *db)
{
	sqlite3_progress_handler(db->handle, 1000000, progress, db);
}

struct db *db_memory(const char *name)
{
	struct db *db = allocate(sizeof(*db));
	db->name = name;
	if (sqlite3_open(":memory:", &db->handle) != SQLITE_OK)
		out_of_memory();
	return db;
}

void db_close(struct db *db)
{
	if (db->told)
		fputs("\r\033[K", stderr);
	for (int i = 0; i < KEPT; i++)
		sqlite3_finalize(db->kept[i]);
	sqlite3_close_v2(db->handle);
	free(db);
}

static void broken(struct db *db) __attribute__((noreturn));
static void broken(struct db *db)
{
	int rc = sqlite3_errcode(db->handle);
	if (rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB)
		fail(STATUS_UNREADABLE, "cannot read '%s': it is truncated or damaged",
		     db->name);
	fail(STATUS_UNREADABLE, "cannot read '%s': %s", db->name,
	     sqlite3_errmsg(db->handle));
}

void db_define(struct db *db, const char *sql)
{
	if (sqlite3_exec(db->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
		broken(db);
}

static void unwritten(struct db *db) __attribute__((noreturn));
static void unwritten(struct db *db)
{
	fail(STATUS_NO, "cannot write '%s': %s", db->name, sqlite3_errmsg(db->handle));
}

static void run(struct db *db, const char *sql)
{
	if (sqlite3_exec(db->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
		unwritten(db);
}

struct db *db_make(const char *name, const char *path, const char *schema)
{
	struct db *db = allocate(sizeof(*db));

	db->name = name;
	db->opened = time(NULL);
	if (sqlite3_open(path, &db->handle) != SQLITE_OK)
		unwritten(db);
	run(db, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF");
	run(db, schema);
	run(db, "BEGIN");
	return db;
}

void db_done(struct db *db)
{
	run(db, "COMMIT");
	db_close(db);
}

struct rows *db_statement(struct db *db, const char *sql)
{
	struct rows *rows = allocate(sizeof(*rows));

	rows->db = db;
	if (sqlite3_prepare_v2(db->handle, sql, -1, &rows->statement, NULL) !=
	    SQLITE_OK)
		unwritten(db);
	return rows;
}

void rows_put(struct rows *rows, const char *types, ...)
{
	va_list arguments;

	va_start(arguments, types);
	for (int i = 0; types[i]; i++) {
		int64_t number = types[i] == 't' ? 0 : va_arg(arguments, int64_t);
		if (types[i] == 't')
			sqlite3_bind_text(rows->statement, i + 1,
			                  va_arg(arguments, const char *), -1,
			                  SQLITE_TRANSIENT);
		else if (types[i] == 'n' && number == INT64_MIN)
			sqlite3_bind_null(rows->statement, i + 1);
		else
			sqlite3_bind_int64(rows->statement, i + 1, number);
	}
	va_end(arguments);
	if (sqlite3_step(rows->statement) != SQLITE_DONE)
		unwritten(rows->db);
	sqlite3_reset(rows->statement);
}

/* The statement of a query that was asked before and is not in use; NULL: none. */
static sqlite3_stmt *take_kept(struct db *db, const char *sql)
{
	for (int i = 0; i < KEPT; i++) {
		sqlite3_stmt *statement = db->kept[i];
		const char *text = statement ? sqlite3_sql(statement) : "";
		size_t length = strlen(text); /* it has no blanks at its end */
		if (!length || strncmp(text, sql, length) != 0 ||
		    sql[length + strspn(sql + length, " \t\n")])
			continue;
		db->kept[i] = NULL;
		return statement;
	}
	return NULL;
}

static void keep(struct db *db, sqlite3_stmt *statement)
{
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	sqlite3_finalize(db->kept[db->kept_next]);
	db->kept[db->kept_next] = statement;
	db->kept_next = (db->kept_next + 1) % KEPT;
}

struct rows *db_rows(struct db *db, const char *sql, const char *types, ...)
{
	struct rows *rows = allocate(sizeof(*rows));
	va_list arguments;

	rows->db = db;
	rows->statement = take_kept(db, sql);
	if (!rows->statement && sqlite3_prepare_v2(db->handle, sql, -1,
	                                           &rows->statement, NULL) != SQLITE_OK)
		broken(db);
	va_start(arguments, types);
	for (int i = 0; types[i]; i++) {
		if (types[i] == 'i')
			sqlite3_bind_int64(rows->statement, i + 1,
			                   va_arg(arguments, int64_t));
		else
			sqlite3_bind_text(rows->statement, i + 1,
			                  va_arg(arguments, const char *), -1,
			                  SQLITE_TRANSIENT);
	}
	va_end(arguments);
	return rows;
}

bool rows_next(struct rows *rows)
{
	int rc = sqlite3_step(rows->statement);
	if (rc == SQLITE_ROW)
		return true;
	if (rc != SQLITE_DONE)
		broken(rows->db);
	rows_free(rows);
	return false;
}

void rows_free(struct rows *rows)
{
	keep(rows->db, rows->statement);
	free(rows);
}

int64_t rows_number(struct rows *rows, int column)
{
	return sqlite3_column_int64(rows->statement, column);
}

bool rows_null(struct rows *rows, int column)
{
	return sqlite3_column_type(rows->statement, column) == SQLITE_NULL;
}

int64_t rows_number_or(struct rows *rows, int column, int64_t otherwise)
{
	return rows_null(rows, column) ? otherwise : rows_number(rows, column);
}

int rows_columns(struct rows *rows)
{
	return sqlite3_column_count(rows->statement);
}

const char *rows_column(struct rows *rows, int column)
{
	return sqlite3_column_name(rows->statement, column);
}

bool rows_is_number(struct rows *rows, int column)
{
	return sqlite3_column_type(rows->statement, column) == SQLITE_INTEGER;
}

const char *rows_text(struct rows *rows, int column)
{
	return (const char *)sqlite3_column_text(rows->statement, column);
}

char *rows_copy(struct rows *rows, int column)
{
	return copy_text(rows_text(rows, column));
}

int64_t rows_first(struct rows *rows, int64_t otherwise)
{
	if (!rows_next(rows))
		return otherwise;
	int64_t number = rows_number_or(rows, 0, otherwise);
	rows_free(rows);
	return number;
}

char *rows_first_text(struct rows *rows)
{
	char *text;

	if (!rows_next(rows))
		return NULL;
	text = rows_copy(rows, 0);
	rows_free(rows);
	return text;
}

int64_t db_number(struct db *db, int64_t otherwise, const char *sql)
{
	return rows_first(db_rows(db, sql, ""), otherwise);
}
