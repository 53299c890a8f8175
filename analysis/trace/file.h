/* file.h - a trace's file, opened for reading. */
#ifndef TIDEMARK_ANALYSIS_FILE_H
#define TIDEMARK_ANALYSIS_FILE_H

#include "db.h"
#include "schema_ids.h"

/* Opens a trace and holds one snapshot of it, also while a run goes on writing. NULL,
 * with one sentence in why, for what is missing, unreadable, empty, truncated, foreign
 * or of a newer schema. path must outlive it. */
struct db *file_open(const char *path, char *why, size_t size);

/* The schema's number, as the file says it. */
int file_schema(struct db *db);

#endif
