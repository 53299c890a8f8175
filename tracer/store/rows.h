/* rows.h - rows of integers in memory, as a table that SQL can select from. */
#ifndef TIDEMARK_TRACER_ROWS_H
#define TIDEMARK_TRACER_ROWS_H

#include <sqlite3.h>
#include <stdint.h>

struct tmk_rows {
	const int64_t *value; /* count rows of `columns` integers; INT64_MIN is NULL */
	int columns, count;
};

/* Makes them the table tmk_rows (c0, c1, ...) of this connection; `columns` stays. Returns
 * SQLite's code. */
int tmk_rows_offer(sqlite3 *db, struct tmk_rows *rows);

#endif
