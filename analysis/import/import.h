/* import.h - a memory snapshot of PyTorch's as a trace. */
#ifndef TIDEMARK_ANALYSIS_IMPORT_H
#define TIDEMARK_ANALYSIS_IMPORT_H

#include <stdio.h>

#include "build.h"

/* Reads the snapshot with a Python (NULL: python3) and makes the trace in an empty file. name is
 * what messages call the trace, as it must not outlive them. Ends the program with status 3 and one
 * sentence where the snapshot cannot be read. */
struct built import_snapshot(const char *snapshot, const char *python, const char *name,
                             const char *path, struct about *about);

/* The same of lines that snapshot.py would have said; the end of a sentence, or NULL. */
const char *import_lines(FILE *from, struct build *build, struct about *about,
                         char *why, size_t size);

#endif
