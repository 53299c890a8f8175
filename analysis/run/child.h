/* child.h - this command once more, in a child that is ended where it takes too long, and where
 * we are interrupted: what it starts is never left behind. */
#ifndef TIDEMARK_ANALYSIS_CHILD_H
#define TIDEMARK_ANALYSIS_CHILD_H

#include <stdbool.h>
#include <stdint.h>

struct child {
	const char *const *words; /* "tidemark", the subcommand and so on, and NULL */
	char **environment;       /* NULL: ours */
	const char *log;          /* the file that takes stdout and stderr */
	const char *doing;        /* what is shown on a terminal, with the seconds */
	int64_t limit;            /* seconds */
	const char *errors; /* the file that takes stderr alone; NULL: none does */
};

/* Runs it and waits. false: it took too long and was ended. Ends the program where a signal
 * asks for that, once the child is gone. */
bool child_run(const struct child *child, int *status);

/* A whole file; NULL where it cannot be read. The caller's text. */
char *child_text(const char *path);

#endif
