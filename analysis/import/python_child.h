/* python_child.h - the Python that reads a snapshot, with little memory and little time. */
#ifndef TIDEMARK_ANALYSIS_PYTHON_CHILD_H
#define TIDEMARK_ANALYSIS_PYTHON_CHILD_H

#include <stdio.h>
#include <sys/types.h>

struct snapshot_child {
	pid_t pid;
	FILE *lines; /* what it says, as snapshot.py tells */
};

/* Starts a Python on an open file of this many bytes. Ends the program with status 2 where there
 * is no such Python. */
struct snapshot_child snapshot_start(const char *python, int file, long long bytes);

/* Waits for its end. NULL: it ended well; else the end of a sentence about the file. */
const char *snapshot_end(struct snapshot_child *child);

#endif
