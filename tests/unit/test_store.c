/* test_store.c - the trace file: making it, failing, reading it back. */
#include "store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "../test.h"
#include "temp.h"

static char message[256];

static void count_row(struct tmk_row *row, void *context)
{
	(void)row;
	++*(int *)context;
}

TEST("an empty file gets the schema, and is opened again with what it holds")
{
	struct tmk_store *s =
	        tmk_store_open(temp_file("a.db"), message, sizeof(message));
	CHECK(s);
	tmk_store_run(s, TMK_SQL_meta, "key", "value");
	tmk_store_commit(s);
	CHECK(!tmk_store_failed(s));
	tmk_store_close(s);
	s = tmk_store_open(temp_path("a.db"), message, sizeof(message));
	CHECK(s);
	int rows = 0;
	tmk_store_read(s, "SELECT * FROM meta WHERE key = 'key' AND value = 'value'",
	               count_row, &rows);
	CHECK(rows == 1);
	tmk_store_close(s);
}

TEST("a file that is no trace is refused with a sentence and left as it is")
{
	FILE *f = fopen(temp_path("b.db"), "w");
	for (int i = 0; i < 1000; i++)
		fputs("this is not a database ", f);
	fclose(f);
	struct stat before, after;
	CHECK(!stat(temp_path("b.db"), &before));
	CHECK(!tmk_store_open(temp_path("b.db"), message, sizeof(message)));
	CHECK(*message && !strchr(message, '\n'));
	CHECK(!stat(temp_path("b.db"), &after) && before.st_size == after.st_size);
}

TEST("a folder in the file's place is refused with a sentence")
{
	CHECK(!mkdir(temp_path("c.db"), 0700));
	CHECK(!tmk_store_open(temp_path("c.db"), message, sizeof(message)));
	CHECK(*message);
}

TEST("a copy holds what was committed")
{
	struct tmk_store *s =
	        tmk_store_open(temp_file("d.db"), message, sizeof(message));
	CHECK(s);
	tmk_store_run(s, TMK_SQL_meta, "key", "value");
	tmk_store_commit(s);
	tmk_store_run(s, TMK_SQL_meta, "later", "not committed");
	CHECK(!tmk_store_copy(temp_path("d.db"), temp_path("e.db"), message,
	                      sizeof(message)));
	tmk_store_close(s);
	s = tmk_store_open(temp_path("e.db"), message, sizeof(message));
	int rows = 0;
	tmk_store_read(s, "SELECT * FROM meta WHERE key IN ('key', 'later')", count_row,
	               &rows);
	CHECK(rows == 1);
	tmk_store_close(s);
}

/* Row i of a test: every column another number, NULL where a column may have none. */
static int64_t cell(int64_t id, int column)
{
	return column == 5 && id % 3 == 0 ? TMK_NULL : id * 100 + column;
}

static void check_row(struct tmk_row *row, void *context)
{
	int64_t id = tmk_row_int(row, 0);
	for (int c = 0; c < TMK_ALLOCATION_COLUMNS; c++)
		CHECK(tmk_row_int(row, 1 + c) == cell(id, c));
	++*(int *)context;
}

static int64_t add_rows(struct tmk_store *s, int n)
{
	int64_t id = tmk_store_last_allocation(s);
	for (int i = 0; i < n; i++) {
		int64_t row[TMK_ALLOCATION_COLUMNS];
		for (int c = 0; c < TMK_ALLOCATION_COLUMNS; c++)
			row[c] = cell(id + 1, c);
		CHECK(tmk_store_allocation(s, row) == id + 1);
		id++;
	}
	return id;
}

TEST("allocations get their numbers in order, also when the last ones were deleted")
{
	struct tmk_store *s =
	        tmk_store_open(temp_file("g.db"), message, sizeof(message));
	CHECK(s);
	int64_t last = add_rows(s, 1);
	tmk_store_commit(s);
	last = add_rows(s, 1000); /* some batches, and a part of one */
	CHECK(last == 1001);
	tmk_store_commit(s);
	int rows = 0;
	tmk_store_read(s, "DELETE FROM allocation WHERE id > 900", count_row, &rows);
	CHECK(add_rows(s, 300) == 1301);
	tmk_store_read(s, "SELECT * FROM allocation ORDER BY id", check_row, &rows);
	CHECK(!tmk_store_failed(s));
	CHECK(rows == 900 + 300);
	tmk_store_read(s, "SELECT * FROM allocation WHERE id > 1001", count_row, &rows);
	CHECK(rows == 900 + 300 + 300);
	tmk_store_close(s);
}

TEST("an unknown column of the run becomes an entry of meta")
{
	struct tmk_store *s =
	        tmk_store_open(temp_file("f.db"), message, sizeof(message));
	CHECK(s);
	tmk_store_run(s, TMK_SQL_run, TIDEMARK_VERSION, (int64_t)1);
	tmk_store_set_run(s, "nonsense'; DROP TABLE run; --", "1", false);
	tmk_store_set_run(s, "host", "it's", false);
	tmk_store_commit(s);
	CHECK(!tmk_store_failed(s));
	int rows = 0;
	tmk_store_read(s, "SELECT * FROM run WHERE host = 'it''s'", count_row, &rows);
	CHECK(rows == 1);
	tmk_store_close(s);
}

TEST_MAIN
