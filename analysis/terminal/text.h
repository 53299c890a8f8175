/* text.h - numbers as people say them, and tables that fit the screen. */
#ifndef TIDEMARK_ANALYSIS_TEXT_H
#define TIDEMARK_ANALYSIS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "term.h"

/* A small text returned by value, for use inside one call: text_size(n).s */
struct small {
	char s[40];
};

struct small text_size(int64_t bytes);                  /* "1.46 GiB", "512 B" */
struct small text_count(int64_t count);                 /* "3,824,404" */
struct small text_blocks(int64_t count);                /* "12 ×" */
struct small text_bytes(int64_t bytes);                 /* "22,245,873,152 B" */
struct small text_duration(int64_t ns);                 /* "412 ms", "8 min 14 s" */
struct small text_percent(int64_t part, int64_t whole); /* "54.2 %" */

/* "1 step", "3 steps": the noun is given in the singular. */
struct small text_plural(int64_t count, const char *noun);

/* Columns that a UTF-8 text takes on the screen, one per code point. */
int text_width(const char *text);

/* Which end of a text survives when it is too long: a sentence is understood from its
 * beginning, a dotted name or a path from its end. */
enum keep { KEEP_HEAD, KEEP_TAIL };

/* Writes at most `columns` of a text, dots for what is left out; control characters
 * become '?'. */
void text_fit(FILE *out, const char *text, int columns, enum keep keep);

/* Writes a sentence and a line end, over as many lines as it takes; all but the first begin
 * with `indent` blanks, and of the first `from` columns are taken already. */
void text_wrap(FILE *out, const char *text, int indent, int from);

/* A bar of at most `columns`, as long as part is of whole, padded with blanks. */
void text_bar(FILE *out, int64_t part, int64_t whole, int columns);

/* A table: a sign for each column: '<' left, '>' right; '~' a name and '-' a sentence,
 * both left and shortened where the screen is narrow, the first of them first. Cells
 * are added left to right, top to bottom. */
struct table;
struct table *table_new(const char *columns);
void table_cell(struct table *table, enum style style, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
void table_print(struct table *table, FILE *out, int indent, bool header);
void table_free(struct table *table);

#endif
