/* fuzz_reader.c - the reading commands on a trace in which values were changed: by SQL, since
 * a byte changed in the file is most often found out by SQLite. AFL++ runs it once per input.
 *
 * usage: fuzz_reader TEMPLATE.db INPUT
 * INPUT: one byte for the command, its upper bit for a screen with colours and UTF-8, then
 * twelve for each change: table, column, row, kind of value, and eight of the value. */
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parts.h"

int tidemark_main(int argc, char **argv);

enum { WORDS = 4 };
static const char *const commands[][WORDS + 1] = {
        {"report"},
        {"peak"},
        {"peak", "--json"},
        {"timeline"},
        {"buckets"},
        {"oom"},
        {"oom", "--json"},
        {"reconcile"},
        {"leaks"},
        {"report", "--json"},
        {"timeline", "--steps"},
        {"fragmentation"},
        {"buckets", "--at", "oom"},
        {"reconcile", "--json"},
        {"peak", "--step", "1"},
        {"peak", "--folded"},
        {"peak", "--by", "phase,bucket,module,shape"},
        {"timeline", "--csv"},
        {"timeline", "--json"},
        {"timeline", "--step", "1"},
        {"buckets", "--json"},
        {"buckets", "--by", "scope"},
        {"buckets", "--at", "1ms"},
        {"leaks", "--json"},
        {"fragmentation", "--json"},
        {"fragmentation", "--at", "oom"},
        {"reconcile", "--model", "gpt2", "--json"},
        {"plan", "--json", "--trace"},
};
enum { COMMANDS = sizeof(commands) / sizeof(*commands) };

static char trace[128];

static void copy(const char *from)
{
	char buffer[1 << 16];
	ssize_t n;
	int in = open(from, O_RDONLY),
	    out = open(trace, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (in < 0 || out < 0)
		exit(2);
	while ((n = read(in, buffer, sizeof(buffer))) > 0)
		if (write(out, buffer, (size_t)n) != n)
			exit(2);
	close(in);
	close(out);
}

static void remove_trace(void)
{
	unlink(trace);
}

/* The text of one cell of sqlite_schema or a PRAGMA, the i-th modulo how many there are. */
static char *pick(sqlite3 *db, const char *sql, int column, unsigned i)
{
	sqlite3_stmt *st;
	char *found = NULL;
	unsigned count = 0;
	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
		return NULL;
	while (sqlite3_step(st) == SQLITE_ROW)
		count++;
	sqlite3_reset(st);
	for (unsigned at = count ? i % count : 0;
	     count && sqlite3_step(st) == SQLITE_ROW; at--)
		if (!at) {
			found = strdup((const char *)sqlite3_column_text(st, column));
			break;
		}
	sqlite3_finalize(st);
	return found;
}

static void bind(sqlite3_stmt *st, const unsigned char *kind_and_value)
{
	static const int64_t edges[] = {
	        0,  -1, 1,  INT64_MAX, INT64_MIN, INT32_MAX, 1LL << 40,  255,
	        10, 11, 12, 64,        -2,        1LL << 62, 4294967295, 3};
	int64_t n;
	memcpy(&n, kind_and_value + 1, sizeof(n));
	switch (kind_and_value[0] % 6) {
	case 0:
		sqlite3_bind_null(st, 1);
		break;
	case 1:
		sqlite3_bind_int64(st, 1, n);
		break;
	case 2:
		sqlite3_bind_int64(st, 1, edges[(uint64_t)n % 16]);
		break;
	case 3:
		sqlite3_bind_text(st, 1, (const char *)kind_and_value + 1, 8,
		                  SQLITE_TRANSIENT);
		break;
	case 4:
		sqlite3_bind_double(st, 1, (double)n * 1e300);
		break;
	default:
		sqlite3_bind_zeroblob(st, 1, (int)((uint64_t)n % 100000));
	}
}

static void change(sqlite3 *db, const unsigned char *c)
{
	char sql[400];
	sqlite3_stmt *st;
	char *table =
	        pick(db,
	             "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT "
	             "LIKE 'sqlite%' ORDER BY name",
	             0, c[0]);
	snprintf(sql, sizeof(sql), "PRAGMA table_info(\"%s\")", table ? table : "");
	char *column = pick(db, sql, 1, c[1]);
	const char *how =
	        c[3] & 64 ? "DELETE FROM \"%s\" WHERE ?1 IS NOT \"%s\" AND (SELECT "
	                    "count(*) "
	                    "FROM \"%s\") > %d"
	                  : "UPDATE OR IGNORE \"%s\" SET \"%s\" = ?1 WHERE (SELECT "
	                    "count(*) FROM \"%s\") > 0 AND (%d = 0 OR 1) AND ";
	int n = snprintf(sql, sizeof(sql), how, table ? table : "",
	                 column ? column : "", table ? table : "", c[2]);
	if (!(c[3] & 64)) /* one row, or all of them */
		snprintf(sql + n, sizeof(sql) - (size_t)n, "%s",
		         c[2] & 128 ? "1" : "rowid % 3 = 0");
	if (table && column &&
	    sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK) {
		bind(st, c + 3);
		sqlite3_step(st);
		sqlite3_finalize(st);
	}
	free(table);
	free(column);
}

int main(int argc, char **argv)
{
	sqlite3 *db;
	if (argc != 3)
		return 2;
	struct part input = read_whole(argv[2]);
	if (!input.size)
		return 0;
	snprintf(trace, sizeof(trace), "%s/fuzz-%d.db", fuzz_folder(), (int)getpid());
	copy(argv[1]);
	atexit(remove_trace);
	if (sqlite3_open(trace, &db) != SQLITE_OK)
		return 2;
	sqlite3_exec(
	        db,
	        "PRAGMA ignore_check_constraints = 1; PRAGMA synchronous = OFF; BEGIN",
	        NULL, NULL, NULL);
	for (size_t at = 1; at + 12 <= input.size && at < 12 * 40; at += 12)
		change(db, input.data + at);
	sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	sqlite3_close(db);
	const char *const *words = commands[(input.data[0] & 127) % COMMANDS];
	char *arguments[WORDS + 5] = {(char *)"tidemark"};
	int count = 1;
	for (; words[count - 1]; count++)
		arguments[count] = (char *)words[count - 1];
	arguments[count++] = trace;
	setenv("LC_ALL", input.data[0] & 128 ? "C.UTF-8" : "C", 1);
	if (input.data[0] & 128) {
		arguments[count++] = (char *)"--color";
		arguments[count++] = (char *)"always";
	}
	return tidemark_main(count, arguments);
}
