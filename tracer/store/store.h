/* store.h - the trace file. With connection.h and rows.h the one place in tracer/
 * that knows SQLite.
 * Used by one thread at a time: the writer, or a recovery. All functions that write
 * remember the first failure (a full disk, say); tmk_store_failed() tells it. */
#ifndef TIDEMARK_TRACER_STORE_H
#define TIDEMARK_TRACER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tmk_store;

/* Opens the file and, if it is empty, makes the schema. NULL with a sentence in message. */
struct tmk_store *tmk_store_open(const char *path, char *message, size_t size);
void tmk_store_close(struct tmk_store *s);
/* NULL, or what went wrong first. From then on nothing is written any more. */
const char *tmk_store_failed(const struct tmk_store *s);

/* ... and begins the next transaction. False: nothing is committed, since a reader holds it
 * up (try again later) or since the store has failed. */
bool tmk_store_commit(struct tmk_store *s);

/* The run is over and everything is in the trace: commits, leaves one file, removes the
 * ring at `ring` (NULL: there is none), closes. False: it is not done; the ring stays. */
bool tmk_store_finish(struct tmk_store *s, const char *ring);

struct tmk_store_about {
	bool begun; /* it has tables and a run */
	bool ended; /* ... which is over, its end written */
	char ring[2112], token[40];
};
/* What a trace says of its ring. Changes nothing, also beside a living writer. False: it
 * cannot be read. */
bool tmk_store_about(const char *path, struct tmk_store_about *about);
uint64_t
tmk_store_size(struct tmk_store *s); /* bytes of the file, freed pages not counted */

/* A row of allocation: its columns in order, TMK_NULL as NULL. Its id is given by the
 * store; rows are written several at a time, in order, before anything that could look
 * for them. */
enum { TMK_ALLOCATION_COLUMNS = 14 };
int64_t tmk_store_allocation(struct tmk_store *s,
                             const int64_t column[TMK_ALLOCATION_COLUMNS]);
int64_t tmk_store_last_allocation(const struct tmk_store *s);

/* The prepared statements: STATEMENT(name, sql, what to bind: i integer, n integer with
 * INT64_MIN as NULL, t text (NULL pointer: NULL), b blob (pointer, size)) */
enum tmk_statement {
#define STATEMENT(name, binds, sql) TMK_SQL_##name,
#include "statements.def"
#undef STATEMENT
	TMK_STATEMENTS
};
#define TMK_NULL INT64_MIN

/* Runs one with its values in order (int64_t for i and n, const char * for t,
 * const void * then size_t for b). */
void tmk_store_run(struct tmk_store *s, enum tmk_statement which, ...);

/* Reading back, for recovery. Calls `row` with the columns as integers or texts. What joins
 * tables is a file of queries/, its parameters in `values`; one table is asked at the place. */
struct tmk_row;
int64_t tmk_row_int(struct tmk_row *r, int column); /* TMK_NULL for NULL */
const char *tmk_row_text(struct tmk_row *r, int column);
const void *tmk_row_blob(struct tmk_row *r, int column, size_t *size);
void tmk_store_read(struct tmk_store *s, const char *sql,
                    void (*row)(struct tmk_row *, void *), void *context);
void tmk_store_ask(struct tmk_store *s, const char *sql, const int64_t *values,
                   int count, void (*row)(struct tmk_row *, void *), void *context);

/* Sets a column of the run row; unknown columns go to meta. */
void tmk_store_set_run(struct tmk_store *s, const char *column, const char *value,
                       bool number);

/* Copies the file as it is now to `to` (which must not exist). 0 or a message. */
int tmk_store_copy(const char *from, const char *to, char *message, size_t size);

#endif
