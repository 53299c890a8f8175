/* csv.c - the tables of a trace, a row a line.
 * Called from: commands/export.c, formats.c, parquet.c. */
#include <inttypes.h>
#include <string.h>

#include "export_queries.h"
#include "heap.h"
#include "tables.h"

/* The first is the default. types has an 'i' or a 't' for each column, a number or a text; by_step:
 * --step chooses its rows. */
static const struct {
	const char *name, *sql, *types;
	bool by_step;
	const char *what;
} tables[] = {
        {"blocks", sql_table_blocks, "itiiitttiiiiiititttttii", true,
         "every block that has a row: where it came from, when it lived"},
        {"live", sql_table_live, "tiitttttt", false,
         "what was alive at each device's peak, by place"},
        {"peak", sql_table_peak, "titiii", false, "the peak of each device"},
        {"steps", sql_table_steps, "itiiiiiiiiiiiit", true,
         "every step of each device: peaks, phase, time"},
        {"phases", sql_table_phases, "ittii", true,
         "the most in each phase of each step"},
        {"buckets", sql_table_buckets, "ittti", true,
         "the most of each bucket in each phase of each step"},
        {"segments", sql_table_segments, "ittiiiiiiiiii", true,
         "memory taken from the device and given back"},
        {"samples", sql_table_samples, "tiiiiiii", true,
         "what allocator and device said whenever reserved memory changed"},
        {"oom", sql_table_oom, "titiiiiiitt", true, "requests that were refused"},
        {"stacks", sql_table_stacks, "iittti", false,
         "the frames of every stack (python_stack, native_stack), innermost first"},
};

enum { TABLES = sizeof(tables) / sizeof(*tables) };

static int find(const char *name)
{
	for (int i = 0; i < TABLES; i++)
		if (!strcmp(tables[i].name, name))
			return i;
	return -1;
}

bool table_known(const char *name)
{
	return find(name) >= 0;
}

bool table_has_steps(const char *name)
{
	return tables[find(name)].by_step;
}

const char *table_types(const char *name)
{
	return tables[find(name)].types;
}

const char *table_default(void)
{
	return tables[0].name;
}

const char *table_names(void)
{
	static char names[256];

	*names = 0;
	for (int i = 0; i < TABLES; i++) {
		if (i)
			strcat(names, ", ");
		strcat(names, tables[i].name);
	}
	return names;
}

void table_list(FILE *out)
{
	for (int i = 0; i < TABLES; i++)
		fprintf(out, "%-10s %s\n", tables[i].name, tables[i].what);
}

/* A field goes between quotes where it has to, and where it is empty without being NULL. */
static void write_text(FILE *out, const char *text)
{
	if (*text && !text[strcspn(text, ",\"\r\n")] && *text != ' ') {
		fputs(text, out);
		return;
	}
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"')
			fputc('"', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

static struct rows *ask(struct export *export)
{
	bool one = export->device_count == 1 && export->trace->device_count > 1;

	return db_rows(export->trace->db, tables[find(export->table)].sql, "ti",
	               one ? export->devices[0].name : "", export->step);
}

int64_t table_write(struct export *export, FILE *out)
{
	struct rows *rows = ask(export);
	int columns = rows_columns(rows);
	int64_t count = 0;

	for (int i = 0; i < columns; i++)
		fprintf(out, "%s%s", i ? "," : "", rows_column(rows, i));
	fputc('\n', out);
	while (!ferror(out) && rows_next(rows)) {
		for (int i = 0; i < columns; i++) {
			if (i)
				fputc(',', out);
			if (rows_null(rows, i))
				continue;
			if (rows_is_number(rows, i))
				fprintf(out, "%" PRId64, rows_number(rows, i));
			else
				write_text(out, rows_text(rows, i));
		}
		fputc('\n', out);
		count++;
	}
	if (ferror(out))
		rows_free(rows);
	return count;
}

void table_columns(struct export *export, char **words)
{
	const char *types = table_types(export->table);
	struct rows *rows = ask(export);

	for (int i = 0; types[i]; i++)
		words[i] = format_text("%s:%c", rows_column(rows, i), types[i]);
	rows_free(rows);
}

void export_csv(struct export *export)
{
	export->events = table_write(export, export->out);
}
