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
	while (total > room) {
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

static void print_cell(const struct cell *cell, int width, char column, bool head,
                       FILE *out)
{
	bool dressed = head || cell->style != PLAIN;

	if (dressed)
		fputs(style(head ? DIM : cell->style), out);
	text_fit(out, cell->text, width, column == '~' ? KEEP_TAIL : KEEP_HEAD);
	if (dressed)
		fputs(style(PLAIN), out);
}

void table_print(struct table *table, FILE *out, int indent, bool header)
{
	int widths[sizeof(table->columns)];
	size_t wide = (size_t)table->wide;

	measure(table, widths, term.width - indent);
	for (size_t i = 0; i < table->count; i += wide) {
		int blanks = indent; /* held back, so that no line ends in blanks */
		for (size_t c = 0; c < wide; c++) {
			const struct cell *cell = &table->cells[i + c];
			int width = text_width(cell->text), rest;
			width = width > widths[c] ? widths[c] : width;
			rest = widths[c] - width;
			if (width) {
				fprintf(out, "%*s",
				        blanks + (table->columns[c] == '>' ? rest : 0),
				        "");
				print_cell(cell, widths[c], table->columns[c],
				           header && !i, out);
				blanks = table->columns[c] == '>' ? 0 : rest;
			} else {
				blanks += rest;
			}
			blanks += GAP;
		}
		fputc('\n', out);
	}
}

void table_free(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table);
}
