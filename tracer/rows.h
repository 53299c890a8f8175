/* rows.h - rows in memory as a table that SQL can select from: half the cost of an INSERT is
 * binding its values one by one. Called from: store.c. */
#ifndef TMK_ROWS_H
#define TMK_ROWS_H

#include <sqlite3.h>
#include <stdint.h>

struct tmk_rows {
	const int64_t *value; /* count rows of `columns` integers; INT64_MIN is NULL */
	int columns, count;
};

/* Makes `rows` table "tmk_rows" of this connection, columns c0, c1, ...; it shows what is
 * there at the moment. `rows` outlives the connection. An SQLite code. */
int tmk_rows_offer(sqlite3 *db, struct tmk_rows *rows);

#endif
