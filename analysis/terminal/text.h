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

/* "1 step", "3 steps", "2 passes": the noun is given in the singular. */
struct small text_plural(int64_t count, const char *noun);

/* Columns that a UTF-8 text takes on the screen, one per code point. */
int text_width(const char *text);

/* What of a text survives when it is too long: a sentence is understood from its beginning, a
 * path from its end. Of a dotted name the layers' numbers and the last part survive longest,
 * then what stands before the last part. */
enum keep { KEEP_HEAD, KEEP_TAIL, KEEP_NAME };

/* Writes at most `columns` of a text, dots for what is left out; all of it where term.wide is
 * set. Control characters become '?'. Returns the columns that it took. */
int text_fit(FILE *out, const char *text, int columns, enum keep keep);

/* Writes a sentence and a line end, over as many lines as it takes; all but the first begin
 * with `indent` blanks, and of the first `from` columns are taken already. No line is longer
 * than people like to read, however wide the terminal is. */
void text_wrap(FILE *out, const char *text, int indent, int from);

/* A sign in its style and one blank; the signs of one list take equal columns. */
void text_mark(FILE *out, enum style way, const char *sign);

/* A bar of at most `columns`, as long as part is of whole, padded with blanks. */
void text_bar(FILE *out, int64_t part, int64_t whole, int columns);

/* A table: a sign for each column: '<' left, '>' right; '~' a name and '-' a sentence,
 * both left and shortened where the screen is narrow, the first of them first; a sentence in the
 * last column goes on in the next line. Cells
 * are added left to right, top to bottom. */
struct table;
struct table *table_new(const char *columns);
void table_cell(struct table *table, enum style style, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* A line below the row that was filled last, under its column `column`. */
void table_note(struct table *table, int column, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
void table_print(struct table *table, FILE *out, int indent, bool header);
void table_free(struct table *table);

#endif
