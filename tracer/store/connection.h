/* connection.h - SQLite as the recorder uses it: without threads, through file calls that are
 * watched (files.h), and never waiting longer than is said. */
#ifndef TIDEMARK_TRACER_CONNECTION_H
#define TIDEMARK_TRACER_CONNECTION_H

#include <sqlite3.h>

/* Before the first connection of this process is opened; again does no harm. */
void tmk_sqlite_configure(void);
/* What waits for somebody else's lock waits this long at most, in ms. */
void tmk_sqlite_patience(sqlite3 *db, int milliseconds);

#endif
