/* fuzz_import.c - the lines that analysis/import/snapshot.py says, as nobody would say them, before
 * what makes a trace of them. What is made is a trace whose figures agree. AFL++ runs it once per
 * input.
 *
 * usage: fuzz_import INPUT */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "db.h"
#include "import.h"

static void expect(struct db *db, const char *what, const char *sql)
{
	if (!db_number(db, 0, sql))
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

/* Every block has been born before it died, and each device's most is what its blocks say. */
static void check(const char *path)
{
	const char *trouble;
	bool closed;
	struct db *db = db_open(path, path, "", &closed, &trouble);

	if (!db) {
		fprintf(stderr, "%s\n", trouble);
		abort();
	}
	expect(db, "a block died before it was born",
	       "SELECT count(*) FROM allocation WHERE (died_step, died) <= (born_step, "
	       "born) "
	       "OR lived_ns < 0");
	expect(db, "what is alive at the end differs",
	       "SELECT count(*) FROM step_device k WHERE step = (SELECT max(id) FROM "
	       "step) AND "
	       "end_allocated <> (SELECT coalesce(sum(bytes), 0) FROM allocation a "
	       "WHERE "
	       "a.device = k.device AND died_step IS NULL)");
	expect(db, "a peak is below what it began or ended with",
	       "SELECT count(*) FROM step_device WHERE peak_allocated < "
	       "max(start_allocated, end_allocated)");
	db_close(db);
}

int main(int argc, char **argv)
{
	const char *folder = getenv("FUZZ_FOLDER");
	struct about about = {.command = "fuzz"};
	char path[4096], why[512] = "";
	struct build *build;
	FILE *from;

	if (argc != 2 || !folder || !(from = fopen(argv[1], "r")))
		return 2;
	snprintf(path, sizeof(path), "%s/import-%d.db", folder, (int)getpid());
	build = build_new("made.db", path);
	if (!import_lines(from, build, &about, why, sizeof(why))) {
		build_done(build, &about);
		check(path);
	}
	unlink(path);
	fclose(from);
	return 0;
}
