/* merge.h - the traces of a job as Parquet, partitioned by rank. */
#ifndef TIDEMARK_ANALYSIS_MERGE_H
#define TIDEMARK_ANALYSIS_MERGE_H

#include "job.h"

struct merged {
	char *engine; /* "pyarrow 26.0.1" */
	char **rows;  /* "blocks 12345", a table each */
	size_t row_count, row_room;
	char **failed; /* a sentence each: a trace of which not all could be read */
	size_t failed_count, failed_room;
};

/* Ends the program with status 2 where there is something of this name already. */
void merge_refuse(const char *out);

/* Writes the folder `out`, which is not there yet: TABLE/rank=N/part-*.parquet and summary.db.
 * python: the program that has pyarrow or duckdb. Ends the program with status 2 where it has
 * neither, or where the folder cannot be made. */
void merge_write(const struct job *job, const char *python, const char *out,
                 struct merged *merged);
void merged_free(struct merged *merged);

#endif
