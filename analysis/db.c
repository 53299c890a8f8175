/* db.c - a trace file, opened for reading. The only file that includes sqlite3.h.
 *
 * A trace may be in use by the run that writes it, lie on a read-only medium with or
 * without its write-ahead log, or be no trace at all. */
#include "db.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"
#include "heap.h"
#include "scratch.h"

struct db {
	sqlite3 *handle;
	const char *path; /* as people know it, for messages */
	int schema;
	time_t opened;
	bool told; /* a progress line stands on stderr */
};

struct rows {
	struct db *db;
	sqlite3_stmt *statement;
};

/* One sentence for what can be told without SQLite; false where the file may be good.
 */
static bool refused(const char *path, char *why, size_t size)
{
	char magic[16] = "";
	struct stat st;
	int fd;

	if (stat(path, &st)) {
		snprintf(why, size, "cannot read '%s': %s", path, strerror(errno));
		return true;
	}
	if (!S_ISREG(st.st_mode)) {
		snprintf(why, size, "'%s' is not a file but %s; name a trace", path,
		         S_ISDIR(st.st_mode) ? "a folder" : "something special");
		return true;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		snprintf(why, size, "cannot read '%s': %s", path, strerror(errno));
		return true;
	}
	ssize_t got = read(fd, magic, sizeof(magic));
	close(fd);
	if (got < 0)
		snprintf(why, size, "cannot read '%s': %s", path, strerror(errno));
	else if (!got)
		snprintf(why, size,
		         "'%s' is empty: the run that made it wrote no event", path);
	else if (got < 16 || memcmp(magic, "SQLite format 3", 16) != 0)
		snprintf(why, size, "'%s' is not a tidemark trace", path);
	else
		return false;
	return true;
}

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

/* Opens and reads the head; SQLite opens lazily, so only a read tells. */
static int try_open(struct db *db, const char *path, const char *query)
{
	char *name = uri(path, query);
	int rc = sqlite3_open_v2(name, &db->handle,
	                         SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
	free(name);
	if (rc == SQLITE_OK) {
		sqlite3_busy_timeout(db->handle, 5000);
		rc = sqlite3_exec(db->handle,
		                  "BEGIN; SELECT count(*) FROM sqlite_schema", NULL,
		                  NULL, NULL);
	}
	if (rc != SQLITE_OK) {
		sqlite3_close(db->handle);
		db->handle = NULL;
	}
	return rc;
}

static bool has_content(const char *path, const char *suffix)
{
	struct stat st;
	char *name = format_text("%s%s", path, suffix);
	bool content = !stat(name, &st) && st.st_size > 0;
	free(name);
	return content;
}

/* Where SQLite may not put its -shm file beside the trace (a read-only medium, somebody
 * else's folder): without a log the file itself is everything, with one both are
 * copied. */
static int open_where_read_only(struct db *db, const char *path)
{
	int rc = SQLITE_CANTOPEN;
	if (!has_content(path, "-wal"))
		return try_open(db, path, "?immutable=1");
	char *copy = scratch_copy(path);
	if (copy)
		rc = try_open(db, copy, "");
	free(copy);
	return rc;
}

static int64_t pragma(struct db *db, const char *name)
{
	char sql[64];
	snprintf(sql, sizeof(sql), "PRAGMA %s", name);
	return db_number(db, 0, sql);
}

/* 0 where this is a trace that we can read. */
static int check(struct db *db, char *why, size_t size)
{
	int64_t tables = db_number(db, 0, "SELECT count(*) FROM sqlite_schema");
	if (pragma(db, "application_id") != DB_APPLICATION) {
		snprintf(why, size,
		         tables ? "'%s' is a database, but not a tidemark trace"
		                : "'%s' is empty: the run that made it wrote no event",
		         db->path);
		return -1;
	}
	db->schema = (int)pragma(db, "user_version");
	if (db->schema > DB_SCHEMA) {
		snprintf(why, size,
		         "'%s' has schema %d, this tidemark reads up to %d; update "
		         "tidemark",
		         db->path, db->schema, DB_SCHEMA);
		return -1;
	}
	if (db->schema < 1 || !db_number(db, 0, "SELECT count(*) FROM run")) {
		snprintf(why, size, "'%s' holds no run: it was cut off before it began",
		         db->path);
		return -1;
	}
	return 0;
}

/* Called every million or so steps of SQLite's machine. */
static int progress(void *context)
{
	struct db *db = context;
	long waited = (long)(time(NULL) - db->opened);
	if (waited > 2 && !quiet && isatty(STDERR_FILENO)) {
		fprintf(stderr, "\rtidemark: reading '%s' … %ld s ", db->path, waited);
		db->told = true;
	}
	return 0;
}

struct db *db_open(const char *path, char *why, size_t size)
{
	struct db *db;
	int rc;

	if (refused(path, why, size))
		return NULL;
	db = allocate(sizeof(*db));
	db->path = path;
	db->opened = time(NULL);
	/* A reader changes nothing: not even the -shm file, which SQLite would make anew
	 * under a writer whose locks it cannot see. */
	rc = try_open(db, path, "?readonly_shm=1");
	if (rc == SQLITE_CANTOPEN || rc == SQLITE_READONLY || rc == SQLITE_IOERR)
		rc = open_where_read_only(db, path);
	if (rc != SQLITE_OK) {
		snprintf(why, size, "cannot read '%s': %s", path,
		         rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB
		                 ? "it is truncated or damaged"
		                 : sqlite3_errstr(rc));
		free(db);
		return NULL;
	}
	if (check(db, why, size)) {
		db_close(db);
		return NULL;
	}
	sqlite3_progress_handler(db->handle, 1000000, progress, db);
	return db;
}

struct db *db_memory(const char *name)
{
	struct db *db = allocate(sizeof(*db));
	db->path = name;
	if (sqlite3_open(":memory:", &db->handle) != SQLITE_OK)
		out_of_memory();
	return db;
}

void db_close(struct db *db)
{
	if (db->told)
		fputs("\r\033[K", stderr);
	sqlite3_close_v2(db->handle);
	free(db);
}

int db_schema(const struct db *db)
{
	return db->schema;
}

static void broken(struct db *db) __attribute__((noreturn));
static void broken(struct db *db)
{
	int rc = sqlite3_errcode(db->handle);
	if (rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB)
		fail(STATUS_UNREADABLE, "cannot read '%s': it is truncated or damaged",
		     db->path);
	fail(STATUS_UNREADABLE, "cannot read '%s': %s", db->path,
	     sqlite3_errmsg(db->handle));
}

struct rows *db_rows(struct db *db, const char *sql, const char *types, ...)
{
	struct rows *rows = allocate(sizeof(*rows));
	va_list arguments;

	rows->db = db;
	if (sqlite3_prepare_v2(db->handle, sql, -1, &rows->statement, NULL) !=
	    SQLITE_OK)
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
	sqlite3_finalize(rows->statement);
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

const char *rows_text(struct rows *rows, int column)
{
	return (const char *)sqlite3_column_text(rows->statement, column);
}

char *rows_copy(struct rows *rows, int column)
{
	return copy_text(rows_text(rows, column));
}

int64_t db_number(struct db *db, int64_t otherwise, const char *sql)
{
	struct rows *rows = db_rows(db, sql, "");
	if (!rows_next(rows))
		return otherwise;
	int64_t number = rows_number_or(rows, 0, otherwise);
	rows_free(rows);
	return number;
}
