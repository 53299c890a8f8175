/* connection.c - how SQLite is set up, and connections to traces that are only read.
 * Called from: store.c, recover.c. */
#include "connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "schema_ids.h"
#include "store.h"

void tmk_sqlite_patience(sqlite3 *db, int milliseconds)
{
	if (!db) /* there was no memory to open one */
		return;
	sqlite3_busy_timeout(db, milliseconds);
	tmk_files_patience(milliseconds);
}

/* This copy of SQLite is ours and used by one thread: no locks, no statistics. */
void tmk_sqlite_configure(void)
{
	sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	sqlite3_config(SQLITE_CONFIG_URI, 1);
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL); /* initialises */
	for (int i = 0; vfs && vfs->iVersion >= 3 && tmk_guarded_calls[i].name; i++)
		vfs->xSetSystemCall(vfs, tmk_guarded_calls[i].name,
		                    tmk_guarded_calls[i].call);
	if (vfs)
		vfs->xSleep = tmk_files_sleep;
}

/* A connection that changes nothing: not even the -shm file, which SQLite makes anew, under
 * the writer, where it finds nobody's lock on it. */
static int open_to_read(const char *path, sqlite3 **db)
{
	char *name = malloc(3 * strlen(path) + 32);
	tmk_sqlite_configure();
	if (!name)
		return SQLITE_NOMEM;
	char *at = name + sprintf(name, "file:");
	for (; *path; path++) /* what a URI gives a meaning to */
		at += sprintf(at, strchr("%?# ", *path) ? "%%%02X" : "%c",
		              (unsigned char)*path);
	strcpy(at, "?readonly_shm=1");
	int rc =
	        sqlite3_open_v2(name, db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
	free(name);
	if (rc == SQLITE_OK)
		tmk_sqlite_patience(*db, 5000);
	return rc;
}

static void text_of(sqlite3 *db, const char *sql, char *to, size_t size)
{
	sqlite3_stmt *st;
	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
		return;
	if (sqlite3_step(st) == SQLITE_ROW && sqlite3_column_text(st, 0))
		snprintf(to, size, "%s", (const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
}

bool tmk_store_about(const char *path, struct tmk_store_about *about)
{
	char number[24] = "";
	sqlite3 *db = NULL;
	memset(about, 0, sizeof(*about));
	int rc = open_to_read(path, &db);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "SELECT count(*) FROM sqlite_master", NULL, NULL,
		                  NULL);
	if (rc == SQLITE_OK)
		text_of(db, "PRAGMA application_id", number, sizeof(number));
	if (rc == SQLITE_OK && strtol(number, NULL, 10) == SCHEMA_APPLICATION_ID) {
		*number = 0;
		text_of(db, "SELECT 1 FROM run", number, sizeof(number));
		about->begun = *number;
		*number = 0;
		text_of(db, "SELECT 1 FROM run WHERE ended IS NOT NULL", number,
		        sizeof(number));
		about->ended = *number;
		text_of(db, "SELECT ring FROM run", about->ring, sizeof(about->ring));
		text_of(db, "SELECT value FROM meta WHERE key = 'token'", about->token,
		        sizeof(about->token));
	}
	sqlite3_close(db);
	return rc == SQLITE_OK;
}

int tmk_store_copy(const char *from, const char *to, char *message, size_t size)
{
	sqlite3 *a = NULL, *b = NULL;
	int rc = open_to_read(from, &a);
	if (rc == SQLITE_OK)
		rc = sqlite3_open_v2(to, &b, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
		                     NULL);
	if (rc == SQLITE_OK) {
		sqlite3_backup *copy = sqlite3_backup_init(b, "main", a, "main");
		rc = copy ? sqlite3_backup_step(copy, -1) : sqlite3_errcode(b);
		sqlite3_backup_finish(copy);
		if (rc == SQLITE_DONE)
			rc = SQLITE_OK;
	}
	if (rc != SQLITE_OK)
		snprintf(message, size, "cannot copy '%s' to '%s': %s", from, to,
		         sqlite3_errstr(rc));
	sqlite3_close(a);
	sqlite3_close(b);
	return rc == SQLITE_OK ? 0 : -1;
}
