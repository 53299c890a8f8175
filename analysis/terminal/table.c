/* table.c - tables whose columns are as wide as they must be and no wider.
 * Called from: advice/, answers/, commands/, compare/, formula/, job/, plan/,
 *     reconcile/, run/, trace/. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "text.h"

struct cell {
	char *text;
	enum style style;
};

struct table {
	char columns[16]; /* one sign a column */
	int wide;
	struct cell *cells;
	size_t count, room;
	struct note {
		size_t below; /* the cells before it */
		int column;
		char *text;
	} * notes; /* in the order of their rows */
	size_t note_count, note_room;
};

enum {
	GAP = 2,
	ENOUGH = 12, /* the first column shrinks to this before any other does */
	NARROWEST = 8,
};

struct table *table_new(const char *columns)
{
	struct table *table = allocate(sizeof(*table));
	snprintf(table->columns, sizeof(table->columns), "%s", columns);
	table->wide = (int)strlen(table->columns);
	return table;
}

void table_cell(struct table *table, enum style style, const char *format, ...)
{
	va_list arguments;
	struct cell *cell;

	table->cells =
	        grow(table->cells, table->count, &table->room, sizeof(*table->cells));
	cell = &table->cells[table->count++];
	cell->style = style;
	va_start(arguments, format);
	cell->text = format_list(format, arguments);
	va_end(arguments);
}

void table_note(struct table *table, int column, const char *format, ...)
{
	va_list arguments;
	struct note *note;

	table->notes = grow(table->notes, table->note_count, &table->note_room,
	                    sizeof(*table->notes));
	note = &table->notes[table->note_count++];
	va_start(arguments, format);
	*note = (struct note){.below = table->count,
	                      .column = column,
	                      .text = format_list(format, arguments)};
	va_end(arguments);
}

static void measure(const struct table *table, int *widths, int room)
{
	int total = GAP * (table->wide - 1);

	memset(widths, 0, sizeof(int) * (size_t)table->wide);
	for (size_t i = 0; i < table->count; i++) {
		int width = text_width(table->cells[i].text);
		int *most = &widths[i % (size_t)table->wide];
		*most = width > *most ? width : *most;
	}
	for (int c = 0; c < table->wide; c++)
		total += widths[c];
	while (total > room && !term.wide) {
		int victim = -1;
		for (int c = table->wide - 1; c >= 0; c--)
			if (strchr("~-", table->columns[c]) &&
			    (victim < 0 || widths[c] > ENOUGH ||
			     widths[c] > widths[victim]))
				victim = c;
		if (victim < 0 || widths[victim] <= NARROWEST)
			break;
		widths[victim]--;
		total--;
	}
}

static int print_cell(const struct cell *cell, int width, char column, bool head,
                      FILE *out)
{
	int used;
	bool dressed = head || cell->style != PLAIN;

	if (dressed)
		fputs(style(head ? DIM : cell->style), out);
	used = text_fit(out, cell->text, width, column == '~' ? KEEP_NAME : KEEP_HEAD);
	if (dressed)
		fputs(style(PLAIN), out);
	return used;
}

static void print_row(const struct table *table, const int *widths,
                      const struct cell *cells, FILE *out, int indent, bool head)
{
	int blanks = indent; /* held back, so that no line ends in blanks */

	for (int c = 0; c < table->wide; c++) {
		int width = text_width(cells[c].text), rest;
		width = width > widths[c] ? widths[c] : width;
		rest = widths[c] - width;
		if (c + 1 == table->wide && table->columns[c] == '-' &&
		    text_width(cells[c].text) > width) {
			fprintf(out, "%*s%s", blanks, "", style(cells[c].style));
			text_wrap(out, cells[c].text, term.width - widths[c],
			          term.width - widths[c]);
			fputs(style(PLAIN), out);
			return;
		}
		if (width) {
			fprintf(out, "%*s",
			        blanks + (table->columns[c] == '>' ? rest : 0), "");
			width = print_cell(&cells[c], widths[c], table->columns[c],
			                   head, out);
			blanks = table->columns[c] == '>' ? 0 : widths[c] - width;
		} else {
			blanks += rest;
		}
		blanks += GAP;
	}
	fputc('\n', out);
}

static void print_note(const struct note *note, const int *widths, FILE *out,
                       int indent)
{
	for (int c = 0; c < note->column; c++)
		indent += widths[c] + GAP;
	fprintf(out, "%*s%s", indent, "", style(DIM));
	text_fit(out, note->text, term.width - indent, KEEP_HEAD);
	fprintf(out, "%s\n", style(PLAIN));
}

void table_print(struct table *table, FILE *out, int indent, bool header)
{
	int widths[sizeof(table->columns)];
	size_t wide = (size_t)table->wide, note = 0;

	measure(table, widths, term.width - indent);
	for (size_t i = 0; i < table->count; i += wide) {
		print_row(table, widths, &table->cells[i], out, indent, header && !i);
		for (; note < table->note_count && table->notes[note].below <= i + wide;
		     note++)
			print_note(&table->notes[note], widths, out, indent);
	}
}

void table_free(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i].text);
	for (size_t i = 0; i < table->note_count; i++)
		free(table->notes[i].text);
	free(table->notes);
	free(table->cells);
	free(table);
}
