/* db.h - SQLite, for reading, and for making a new file. The only door to it. */
#ifndef TIDEMARK_ANALYSIS_DB_H
#define TIDEMARK_ANALYSIS_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;
struct rows;

/* Opens a database file and holds one snapshot of it, also while somebody writes to it.
 * query: what follows the path in SQLite's URI, or "". NULL, with half a sentence in
 * *trouble, where it cannot be read; *closed: because SQLite may not use the file, or the
 * folder, as it must. name is what messages call it, and must outlive it. */
struct db *db_open(const char *name, const char *path, const char *query, bool *closed,
                   const char **trouble);

/* From now on a query that takes seconds says so on a terminal. */
void db_show_progress(struct db *db);

void db_close(struct db *db);

/* A database of no file, for SQLite's functions on texts: json_valid(), json_extract().
 * name is what messages call it, and must outlive it. */
struct db *db_memory(const char *name);

/* A new database in an empty file, with a schema, in one transaction that db_done() ends. Nobody
 * else uses the file yet, so there is no journal. Whatever fails ends the program, status 1. */
struct db *db_make(const char *name, const char *path, const char *schema);
void db_done(struct db *db);

/* A statement that is run again and again with other values: types as in db_rows(), and 'n', an
 * int64_t whose INT64_MIN is NULL. A NULL text is NULL. rows_free() ends it. */
struct rows *db_statement(struct db *db, const char *sql);
void rows_put(struct rows *rows, const char *types, ...);

/* Makes what the queries of this connection are written in, temporary views: nothing goes
 * into the file. */
void db_define(struct db *db, const char *sql);

/* A query; types has an 'i' (int64_t) or a 't' (const char *) for each argument. A
 * damaged file ends the program with status 3. */
struct rows *db_rows(struct db *db, const char *sql, const char *types, ...);
bool rows_next(struct rows *rows); /* false: at the end, and rows is freed */
void rows_free(struct rows *rows); /* for leaving early */

int64_t rows_number(struct rows *rows, int column); /* NULL reads as 0 */
bool rows_null(struct rows *rows, int column);
const char *rows_text(struct rows *rows, int column); /* valid until the next row */
char *rows_copy(struct rows *rows, int column); /* the caller's; NULL stays NULL */
int64_t rows_number_or(struct rows *rows, int column, int64_t otherwise);

/* Before the first row too. */
int rows_columns(struct rows *rows);
const char *rows_column(struct rows *rows, int column); /* its name */
bool rows_is_number(struct rows *rows, int column);     /* of this row */

/* The first column of the first row; otherwise where there is none or it is NULL. The rows
 * are freed. */
int64_t rows_first(struct rows *rows, int64_t otherwise);
/* The same as a text, the caller's; NULL where there is none. */
char *rows_first_text(struct rows *rows);
/* A number, of a query without parameters. */
int64_t db_number(struct db *db, int64_t otherwise, const char *sql);

#endif
