/* tables.h - the tables of a trace that csv and parquet have. */
#ifndef TIDEMARK_ANALYSIS_TABLES_H
#define TIDEMARK_ANALYSIS_TABLES_H

#include "export.h"

bool table_known(const char *name);
bool table_has_steps(const char *name); /* of a known one: a step can be chosen */
const char *table_names(void);          /* "blocks, live, …" */
/* Of a known one: 'i' or 't' for each column, a whole number or a text. */
const char *table_types(const char *name);
const char *table_default(void);
void table_list(FILE *out); /* a line each, with what it has */

/* Writes the table with a header, a row a line, as RFC 4180 says: NULL is nothing, an empty text
 * is "". Returns how many rows. */
int64_t table_write(struct export *export, FILE *out);

/* "name:type" of each column, the caller's texts. */
void table_columns(struct export *export, char **words);

#endif
