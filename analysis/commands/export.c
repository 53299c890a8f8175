/* export.c - `tidemark export`: the trace as a file for another tool.
 * Called from: main.c. */
#include "export.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "fail.h"
#include "heap.h"
#include "outlet.h"
#include "screen.h"
#include "tables.h"
#include "text.h"

static const struct format *chosen(const struct options *options)
{
	const char *name = options->value[OPT_EXPORT_FORMAT];
	const struct format *format = name ? format_find(name) : NULL;

	if (!name)
		fail(STATUS_USAGE, "'export' needs --format: %s", format_names());
	if (!format)
		fail(STATUS_USAGE, "there is no format '%s'; these are: %s", name,
		     format_names());
	return format;
}

static const char *chosen_table(const struct options *options,
                                const struct format *format)
{
	const char *name = options->value[OPT_TABLE];

	if (name && !format->tables)
		fail(STATUS_USAGE, "'--table' goes with csv and parquet, not with '%s'",
		     format->name);
	if (name && !table_known(name))
		fail(STATUS_USAGE, "there is no table '%s'; these are: %s", name,
		     table_names());
	return name ? name : table_default();
}

/* The steps that are told, and the devices. */
static void choose(const struct options *options, const struct format *format,
                   struct export *export)
{
	export->devices = trace_devices(export->trace, options->value[OPT_DEVICE],
	                                &export->device_count);
	export->step = -1;
	export->to = INT64_MAX;
	if (option_number(options, OPT_STEP, &export->step)) {
		if (format->tables && !table_has_steps(export->table))
			fail(STATUS_USAGE,
			     "'--step' has no rows to choose from in the table '%s'",
			     export->table);
		trace_step(export->trace, export->step);
		export->from = export->to = export->step;
	}
}

static char *chosen_path(const struct options *options, const struct format *format,
                         const struct export *export)
{
	const char *wish = options->value[OPT_EXPORT_OUTPUT];
	char *suffix, *path;

	if (wish && !strcmp(wish, "-") && options->value[OPT_JSON])
		fail(STATUS_USAGE, "'-o -' and '--json' both want stdout; name a file");
	if (wish && !strcmp(wish, "-") && !strcmp(format->name, "parquet"))
		fail(STATUS_USAGE,
		     "Parquet is written back and forth: name a file with -o");
	if (wish && !strcmp(wish, "-") && format->binary && isatty(STDOUT_FILENO))
		fail(STATUS_USAGE,
		     "'%s' is no text for a terminal; name a file with -o, "
		     "or send stdout elsewhere",
		     format->name);
	if (wish)
		return copy_text(wish);
	suffix = format->tables ? format_text(".%s%s", export->table, format->suffix)
	                        : copy_text(format->suffix);
	path = export_default(export->trace, suffix);
	free(suffix);
	return path;
}

/* What the file does not have, or has not as it was. */
static void tell_doubts(const struct export *export)
{
	const struct flow_doubts *doubts = &export->doubts;

	if (doubts->thinned)
		note("%s thinned away (TIDEMARK_MAX_SIZE): not in it",
		     text_plural(doubts->thinned, "step").s);
	if (export->unseen)
		note("%s of the peak belong to blocks that were not recorded, from "
		     "before "
		     "tracing began or of thinned steps: not in it",
		     text_size(export->unseen).s);
	if (doubts->moved)
		note("%s of folded steps lie where their addresses are not known: "
		     "those "
		     "are made up, from 0x4000000000000 on",
		     text_plural(doubts->moved, "block").s);
	if (doubts->unpaired)
		note("%s of folded steps left out: their block was not found",
		     text_plural(doubts->unpaired, "free").s);
}

static void print_json(const struct export *export, const struct format *format,
                       const char *path, int64_t bytes)
{
	struct json json;
	FILE *out = screen_open();

	json_begin(&json, out);
	trace_json_head(export->trace, &json);
	json_text(&json, "format", format->name);
	json_text(&json, "table", format->tables ? export->table : NULL);
	json_text(&json, "file", path);
	json_number(&json, "bytes", bytes);
	json_text(&json, "unit", format->unit);
	json_number(&json, "count", export->events);
	json_array(&json, "devices");
	for (size_t i = 0; i < export->device_count; i++)
		json_text(&json, NULL, export->devices[i].name);
	json_end(&json);
	json_number(&json, "unseen_bytes", export->unseen);
	json_number(&json, "thinned_steps", export->doubts.thinned);
	json_number(&json, "made_up_addresses", export->doubts.moved);
	json_number(&json, "unpaired_frees", export->doubts.unpaired);
	json_end(&json);
	screen_close(out);
}

static void print_text(const struct export *export, const struct format *format,
                       const char *path, int64_t bytes)
{
	printf("%s: %s, %s\n", path, text_plural(export->events, format->unit).s,
	       text_size(bytes).s);
	if (format->next && !quiet) {
		printf("\n  %s%-9s%s", style(DIM), "next", style(PLAIN));
		printf(format->next, path);
		putchar('\n');
	}
}

int cmd_export(const struct options *options)
{
	const char *table = options->value[OPT_TABLE];
	struct export export = {0};
	const struct format *format;
	struct outlet outlet;
	int64_t bytes;
	char *path;

	if (table && !strcmp(table, "list")) {
		table_list(stdout);
		return screen_flush();
	}
	format = chosen(options);
	export.table = chosen_table(options, format);
	export.trace = trace_open(options_file(options));
	choose(options, format, &export);
	path = chosen_path(options, format, &export);
	outlet_open(&outlet, path, options->value[OPT_FORCE]);
	export.out = outlet.file;
	export.path = outlet.partial ? outlet.partial : path;
	export.python = options->value[OPT_PARQUET_PYTHON];
	format->write(&export);
	bytes = outlet_close(&outlet);
	tell_doubts(&export);
	if (options->value[OPT_JSON])
		print_json(&export, format, path, bytes);
	else if (strcmp(path, "-") != 0)
		print_text(&export, format, path, bytes);
	trace_close(export.trace);
	free(path);
	return screen_flush();
}
