/* store.c - the trace file: opening, statements, transactions.
 * Called from: names.c, model.c, step.c (on the writer thread), recover.c. */
#include "store.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "connection.h"
#include "files.h"
#include "place.h"
#include "rows.h"
#include "settings.h"

/* ---- the store ----------------------------------------------------------------------- */

enum { BATCH = 256 };

struct tmk_store {
	sqlite3 *db;
	sqlite3_stmt *statement[TMK_STATEMENTS];
	/* Rows of allocation wait here. The first is inserted with its id, which makes those
	 * of the rest follow: then SQLite appends, and looks for no place. */
	int64_t batch[BATCH][TMK_ALLOCATION_COLUMNS];
	int waiting;
	struct tmk_rows rows; /* what `insert` selects from the batch */
	sqlite3_stmt *insert_first, *insert;
	int64_t next_allocation;
	char failed[256];
};

/* In ms: while the program's first event waits for the store, while the run goes on, and at
 * its end. */
enum { PATIENCE_OPENING = 50, PATIENCE = 500, PATIENCE_CLOSING = 1000 };

__asm__(".section .rodata\n"
        "tmk_schema_sql: .incbin \"" TMK_SCHEMA_FILE "\"\n"
        ".byte 0\n"
        ".previous\n");
extern const char tmk_schema_sql[];

static const struct {
	const char *sql, *binds;
} statements[] = {
#define STATEMENT(name, binds, sql) {sql, binds},
#include "statements.def"
#undef STATEMENT
};

static void fail(struct tmk_store *s, const char *doing)
{
	if (*s->failed)
		return;
	if (tmk_files_lost())
		snprintf(s->failed, sizeof(s->failed),
		         "the program closed the trace's file descriptors");
	else if (tmk_files_cut())
		snprintf(s->failed, sizeof(s->failed),
		         "somebody has made a file beside the trace shorter");
	else
		snprintf(s->failed, sizeof(s->failed), "%s: %s", doing,
		         sqlite3_errmsg(s->db));
}

const char *tmk_store_failed(const struct tmk_store *s)
{
	return *s->failed ? s->failed : NULL;
}

static void execute(struct tmk_store *s, const char *sql)
{
	if (!*s->failed && sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail(s, "write the trace");
}

static bool is_empty(sqlite3 *db)
{
	sqlite3_stmt *st;
	bool empty = true;
	if (sqlite3_prepare_v2(db, "SELECT count(*) FROM sqlite_master", -1, &st,
	                       NULL) == SQLITE_OK) {
		if (sqlite3_step(st) == SQLITE_ROW)
			empty = sqlite3_column_int(st, 0) == 0;
		sqlite3_finalize(st);
	}
	return empty;
}

static void set_up(struct tmk_store *s, const char *path)
{
	/* The write-ahead log needs shared memory between readers and writer, which no
	 * network file system gives: there a rollback journal, slower, but sound. */
	bool network = tmk_place_is_network(path);
	tmk_sqlite_patience(s->db, PATIENCE_OPENING);
	execute(s, "PRAGMA page_size = 4096");
	execute(s, network ? "PRAGMA journal_mode = TRUNCATE"
	                   : "PRAGMA journal_mode = WAL");
	/* A killed process loses nothing either way; only a crash of the machine does,
	 * and then the last seconds are not what is missed. */
	execute(s, "PRAGMA synchronous = OFF");
	execute(s, "PRAGMA cache_size = -8192");
	execute(s, "PRAGMA temp_store = MEMORY");
	execute(s, "PRAGMA wal_autocheckpoint = 2000");
	/* Where the loaded libraries lie is kept for a recovery while the run goes on: in a
	 * redacted trace nothing of it may stay behind in free pages. */
	execute(s, tmk_settings.redact ? "PRAGMA secure_delete = ON"
	                               : "PRAGMA secure_delete = OFF");
	/* Takes the lock that a first row would take: where locks are refused, it is known
	 * before anything is traced. */
	execute(s, "BEGIN IMMEDIATE");
	if (!*s->failed && is_empty(s->db))
		execute(s, tmk_schema_sql);
	tmk_sqlite_patience(s->db, *s->failed ? 0 : PATIENCE);
}

#define COLUMNS                                                                        \
	"device, site, bucket, rule, bytes, requested, address, born_step, born, "     \
	"born_ns, died_step, died, lived_ns, died_phase"

static sqlite3_stmt *prepare(struct tmk_store *s, const char *sql)
{
	sqlite3_stmt *st = NULL;
	if (!*s->failed && sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT,
	                                      &st, NULL) != SQLITE_OK)
		fail(s, sql);
	return st;
}

static void prepare_batch(struct tmk_store *s)
{
	s->rows.columns = TMK_ALLOCATION_COLUMNS;
	if (!*s->failed && tmk_rows_offer(s->db, &s->rows) != SQLITE_OK)
		fail(s, "offer rows");
	s->insert_first = prepare(s, "INSERT OR FAIL INTO allocation (id, " COLUMNS
	                             ") SELECT ?, * FROM tmk_rows");
	s->insert = prepare(s, "INSERT OR FAIL INTO allocation (" COLUMNS
	                       ") SELECT * FROM tmk_rows");
}

static void insert_rows(struct tmk_store *s, sqlite3_stmt *st, int first, int rows)
{
	s->rows.value = s->batch[first];
	s->rows.count = rows;
	if (sqlite3_step(st) != SQLITE_DONE)
		fail(s, "write the trace");
	sqlite3_reset(st);
}

static void write_waiting(struct tmk_store *s)
{
	if (s->waiting && !*s->failed) {
		sqlite3_bind_int64(s->insert_first, 1, s->next_allocation - s->waiting);
		insert_rows(s, s->insert_first, 0, 1);
	}
	if (s->waiting > 1 && !*s->failed)
		insert_rows(s, s->insert, 1, s->waiting - 1);
	s->waiting = 0;
}

int64_t tmk_store_allocation(struct tmk_store *s,
                             const int64_t column[TMK_ALLOCATION_COLUMNS])
{
	memcpy(s->batch[s->waiting++], column, sizeof(s->batch[0]));
	int64_t id = s->next_allocation++;
	if (s->waiting == BATCH)
		write_waiting(s);
	return id;
}

int64_t tmk_store_last_allocation(const struct tmk_store *s)
{
	return s->next_allocation - 1;
}

static int64_t ask(struct tmk_store *s, const char *sql)
{
	sqlite3_stmt *st;
	int64_t n = 0;
	if (*s->failed)
		return 0;
	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK) {
		fail(s, "read the trace");
		return 0;
	}
	if (sqlite3_step(st) == SQLITE_ROW)
		n = sqlite3_column_int64(st, 0);
	else
		fail(s, "read the trace");
	sqlite3_finalize(st);
	return n;
}

struct tmk_store *tmk_store_open(const char *path, char *message, size_t size)
{
	struct tmk_store *s = calloc(1, sizeof(*s));
	if (!s) {
		snprintf(message, size, "out of memory");
		return NULL;
	}
	tmk_sqlite_configure();
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
	if (sqlite3_open_v2(path, &s->db, flags, NULL) != SQLITE_OK)
		fail(s, "open the trace");
	else
		set_up(s, path);
	for (int i = 0; i < TMK_STATEMENTS && !*s->failed; i++)
		s->statement[i] = prepare(s, statements[i].sql);
	prepare_batch(s);
	s->next_allocation = 1 + ask(s, "SELECT max(id) FROM allocation");
	if (!*s->failed)
		return s;
	snprintf(message, size, "%s", s->failed);
	tmk_store_close(s);
	return NULL;
}

/* A reader that holds the rollback journal's lock (there is one on network file systems
 * alone) is no failure: the transaction stays open and is tried again. */
static bool commit(struct tmk_store *s)
{
	int rc = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
	if (rc != SQLITE_OK && rc != SQLITE_BUSY)
		fail(s, "write the trace");
	return rc == SQLITE_OK;
}

void tmk_store_close(struct tmk_store *s)
{
	write_waiting(s);
	tmk_sqlite_patience(s->db, *s->failed ? 0 : PATIENCE_CLOSING);
	execute(s, "COMMIT");
	sqlite3_finalize(s->insert_first);
	sqlite3_finalize(s->insert);
	for (int i = 0; i < TMK_STATEMENTS; i++)
		sqlite3_finalize(s->statement[i]);
	/* One file to hand on: no -wal, no -shm beside it. */
	if (!*s->failed)
		sqlite3_exec(s->db, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
	sqlite3_close_v2(s->db);
	free(s);
}

bool tmk_store_finish(struct tmk_store *s, const char *ring)
{
	write_waiting(s);
	tmk_sqlite_patience(s->db, PATIENCE_CLOSING);
	execute(s, "COMMIT");
	if (!*s->failed) {
		sqlite3_exec(s->db, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
		/* In this order: while any of it is left to do, the ring or its name in
		 * the trace is there to say so, and the next reader does it. */
		if (ring)
			unlink(ring);
		execute(s, "UPDATE run SET ring = NULL WHERE ring IS NOT NULL");
	}
	bool done = !*s->failed;
	tmk_store_close(s);
	return done;
}

bool tmk_store_commit(struct tmk_store *s)
{
	if (tmk_files_lost() || tmk_files_cut())
		fail(s, "write the trace");
	tmk_sqlite_patience(s->db, PATIENCE);
	write_waiting(s);
	if (*s->failed || !commit(s))
		return false;
	execute(s, "BEGIN");
	return !*s->failed;
}

uint64_t tmk_store_size(struct tmk_store *s)
{
	int64_t pages = ask(s, "PRAGMA page_count") - ask(s, "PRAGMA freelist_count");
	return (uint64_t)pages * 4096;
}

void tmk_store_run(struct tmk_store *s, enum tmk_statement which, ...)
{
	if (s->waiting && (which == TMK_SQL_died || which == TMK_SQL_bucket ||
	                   which == TMK_SQL_thin_rows))
		write_waiting(s);
	if (*s->failed)
		return;
	sqlite3_stmt *st = s->statement[which];
	va_list v;
	va_start(v, which);
	int column = 1;
	for (const char *b = statements[which].binds; *b; b++, column++) {
		if (*b == 't') {
			sqlite3_bind_text(st, column, va_arg(v, const char *), -1,
			                  SQLITE_STATIC);
		} else if (*b == 'b') {
			const void *data = va_arg(v, const void *);
			sqlite3_bind_blob64(st, column, data, va_arg(v, size_t),
			                    SQLITE_STATIC);
		} else {
			int64_t n = va_arg(v, int64_t);
			if (*b == 'n' && n == TMK_NULL)
				sqlite3_bind_null(st, column);
			else
				sqlite3_bind_int64(st, column, n);
		}
	}
	va_end(v);
	if (sqlite3_step(st) != SQLITE_DONE)
		fail(s, "write the trace");
	sqlite3_reset(st);
}

int64_t tmk_row_int(struct tmk_row *r, int column)
{
	sqlite3_stmt *st = (sqlite3_stmt *)r;
	return sqlite3_column_type(st, column) == SQLITE_NULL
	               ? TMK_NULL
	               : sqlite3_column_int64(st, column);
}

const char *tmk_row_text(struct tmk_row *r, int column)
{
	return (const char *)sqlite3_column_text((sqlite3_stmt *)r, column);
}

const void *tmk_row_blob(struct tmk_row *r, int column, size_t *size)
{
	const void *p = sqlite3_column_blob((sqlite3_stmt *)r, column);
	*size = sqlite3_column_bytes((sqlite3_stmt *)r, column);
	return p;
}

void tmk_store_read(struct tmk_store *s, const char *sql,
                    void (*row)(struct tmk_row *, void *), void *context)
{
	tmk_store_ask(s, sql, NULL, 0, row, context);
}

void tmk_store_ask(struct tmk_store *s, const char *sql, const int64_t *values,
                   int count, void (*row)(struct tmk_row *, void *), void *context)
{
	sqlite3_stmt *st;
	write_waiting(s);
	if (*s->failed)
		return;
	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK) {
		fail(s, "read the trace");
		return;
	}
	for (int i = 0; i < count; i++)
		sqlite3_bind_int64(st, i + 1, values[i]);
	int rc;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		row((struct tmk_row *)st, context);
	if (rc == SQLITE_NOMEM) /* a damaged file is read as far as it goes */
		fail(s, "read the trace");
	sqlite3_finalize(st);
}

void tmk_store_set_run(struct tmk_store *s, const char *column, const char *value,
                       bool number)
{
	static const char *const columns[] = {"tidemark_version",
	                                      "command",
	                                      "argv",
	                                      "script",
	                                      "cwd",
	                                      "host",
	                                      "pid",
	                                      "rank",
	                                      "local_rank",
	                                      "world_size",
	                                      "started_unix_ns",
	                                      "exit_status",
	                                      "python_version",
	                                      "torch_version",
	                                      "cuda_version",
	                                      "cuda_runtime",
	                                      "cuda_driver",
	                                      "simulated",
	                                      "stacks",
	                                      "cpu",
	                                      "model_class",
	                                      "model_config",
	                                      "optimizer_class",
	                                      "ring"};
	for (size_t i = 0; i < sizeof(columns) / sizeof(*columns); i++) {
		if (strcmp(columns[i], column) || *s->failed)
			continue;
		char sql[128];
		snprintf(sql, sizeof(sql), "UPDATE run SET %s = %s", column,
		         number ? "CAST(? AS INTEGER)" : "?");
		sqlite3_stmt *st;
		if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK) {
			fail(s, sql);
			return;
		}
		sqlite3_bind_text(st, 1, value, -1, SQLITE_STATIC);
		if (sqlite3_step(st) != SQLITE_DONE)
			fail(s, sql);
		sqlite3_finalize(st);
		return;
	}
	tmk_store_run(s, TMK_SQL_meta, column, value);
}
