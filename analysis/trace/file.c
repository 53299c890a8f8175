/* file.c - a trace's file, opened for reading.
 *
 * A trace may be in use by the run that writes it, lie on a read-only medium with or
 * without its write-ahead log, or be no trace at all.
 * Called from: live/look.c, run/tracing.c, trace.c. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "heap.h"
#include "scratch.h"

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
		         "'%s' is empty: the run that made it recorded no event", path);
	else if (got < 16 || memcmp(magic, "SQLite format 3", 16) != 0)
		snprintf(why, size, "'%s' is not a tidemark trace", path);
	else
		return false;
	return true;
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
static struct db *open_where_read_only(const char *path, const char **trouble)
{
	struct db *db = NULL;
	bool closed;

	if (!has_content(path, "-wal"))
		return db_open(path, path, "?immutable=1", &closed, trouble);
	char *copy = scratch_copy(path);
	if (copy)
		db = db_open(path, copy, "", &closed, trouble);
	free(copy);
	return db;
}

static int64_t pragma(struct db *db, const char *name)
{
	char sql[64];
	snprintf(sql, sizeof(sql), "PRAGMA %s", name);
	return db_number(db, 0, sql);
}

int file_schema(struct db *db)
{
	return (int)pragma(db, "user_version");
}

/* 0 where this is a trace that we can read. */
static int check(struct db *db, const char *path, char *why, size_t size)
{
	int64_t tables = db_number(db, 0, "SELECT count(*) FROM sqlite_schema");
	int schema;

	if (pragma(db, "application_id") != SCHEMA_APPLICATION_ID) {
		snprintf(why, size,
		         tables ? "'%s' is a database, but not a tidemark trace"
		                : "'%s' is empty: the run that made it recorded no "
		                  "event",
		         path);
		return -1;
	}
	schema = file_schema(db);
	if (schema > SCHEMA_USER_VERSION) {
		snprintf(why, size,
		         "'%s' has schema %d, this tidemark reads up to %d; update "
		         "tidemark",
		         path, schema, SCHEMA_USER_VERSION);
		return -1;
	}
	if (schema < 1 || !db_number(db, 0, "SELECT count(*) FROM run")) {
		snprintf(why, size, "'%s' holds no run: it was cut off before it began",
		         path);
		return -1;
	}
	return 0;
}

struct db *file_open(const char *path, char *why, size_t size)
{
	struct db *db;
	const char *trouble;
	bool closed;

	if (refused(path, why, size))
		return NULL;
	/* A reader changes nothing: not even the -shm file, which SQLite would make anew
	 * under a writer whose locks it cannot see. */
	db = db_open(path, path, "?readonly_shm=1", &closed, &trouble);
	if (!db && closed)
		db = open_where_read_only(path, &trouble);
	if (!db) {
		snprintf(why, size, "cannot read '%s': %s", path, trouble);
		return NULL;
	}
	if (check(db, path, why, size)) {
		db_close(db);
		return NULL;
	}
	db_show_progress(db);
	return db;
}
