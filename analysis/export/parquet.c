/* parquet.c - a table as Parquet, written by the user's Python: its library for that is kept well,
 * and there is none in C.
 * Called from: formats.c. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "export.h"
#include "fail.h"
#include "heap.h"
#include "launch.h"
#include "tables.h"

enum { NO_LIBRARY = 5, HAS_SAID = 6 }; /* as parquet.py says it */

__asm__(".section .rodata\n"
        "parquet_py: .incbin \"" TIDEMARK_PARQUET_FILE "\"\n"
        ".byte 0\n"
        ".previous\n");
extern const char parquet_py[];

/* "python", "-c", the program, the file, a word for each column, NULL. */
static const char **words_of(struct export *export)
{
	size_t columns = strlen(table_types(export->table));
	const char **words = allocate((columns + 5) * sizeof(*words));

	words[0] = "python";
	words[1] = "-c";
	words[2] = parquet_py;
	words[3] = export->path;
	table_columns(export, (char **)words + 4);
	return words;
}

static FILE *start(const char *python, const char **words, pid_t *child)
{
	int ends[2];

	if (pipe(ends))
		fail(STATUS_NO, "cannot make a pipe");
	fflush(NULL);
	*child = fork();
	if (*child < 0)
		fail(STATUS_NO, "cannot start '%s': %s", python, strerror(errno));
	if (!*child) {
		dup2(ends[0], STDIN_FILENO);
		close(ends[0]);
		close(ends[1]);
		unsetenv("LD_PRELOAD");
		execv(python, (char *const *)words);
		_exit(NOT_FOUND);
	}
	close(ends[0]);
	return fdopen(ends[1], "w");
}

void export_parquet(struct export *export)
{
	int status = 0, lookup;
	const char *wish = export->python ? export->python : "python3";
	char *python = launch_lookup(wish, &lookup);
	const char **words = words_of(export);
	pid_t child;
	FILE *to;

	if (!python)
		fail(STATUS_USAGE,
		     "parquet is written by Python, and there is no '%s'; name one "
		     "with --python",
		     wish);
	signal(SIGPIPE, SIG_IGN); /* it may end before it has read all */
	to = start(python, words, &child);
	export->events = table_write(export, to);
	fclose(to);
	waitpid(child, &status, 0);
	signal(SIGPIPE, SIG_DFL);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_LIBRARY)
		fail(STATUS_USAGE,
		     "'%s' has neither pyarrow nor duckdb, which write Parquet; "
		     "'%s -m pip install pyarrow' brings one",
		     wish, wish);
	if (WIFEXITED(status) && WEXITSTATUS(status) == HAS_SAID)
		exit(STATUS_NO);
	if (status)
		fail(STATUS_NO, "'%s' could not write the file", wish);
	for (size_t i = 4; words[i]; i++)
		free((char *)words[i]);
	free(words);
	free(python);
}
