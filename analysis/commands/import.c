/* import.c - `tidemark import`: a memory snapshot of PyTorch's as a trace.
 * Called from: main.c. */
#include "import.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "command.h"
#include "fail.h"
#include "heap.h"
#include "outlet.h"
#include "screen.h"
#include "text.h"
#include "trace.h"

/* The snapshot's name without what it ends in. */
static char *default_path(const char *snapshot)
{
	static const char *const endings[] = {".gz", ".pickle", ".pkl"};
	size_t length = strlen(snapshot);

	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
		size_t ending = strlen(endings[i]);
		if (length > ending &&
		    !strncmp(snapshot + length - ending, endings[i], ending))
			length -= ending;
	}
	return format_text("%.*s.db", (int)length, snapshot);
}

static void tell_doubts(const struct built *built, const struct about *about)
{
	if (built->unknown)
		note("%s of %s are in the bucket 'unknown': the snapshot does not say "
		     "what they are for",
		     text_count(built->unknown).s,
		     text_plural(built->blocks, "block").s);
	if (!about->annotated)
		note("phases and steps are not known, because the snapshot has no "
		     "annotations");
	if (!about->history)
		note("the snapshot has no history: the trace holds what was alive when "
		     "it was taken, and nothing of what was before");
	else if (about->cut)
		note("the history begins in the middle of the run, with %s alive: an "
		     "earlier peak would not be seen",
		     text_plural(about->before, "block").s);
	if (about->rounded)
		note("roundup_power2_divisions was set, and the snapshot does not say "
		     "how large a block was that has been freed: it counts as large as "
		     "what was asked for");
}

static void print_json(const char *path, const struct built *built,
                       const struct about *about)
{
	FILE *out = screen_open();
	struct json json;

	json_begin(&json, out);
	json_head(&json, SCHEMA_USER_VERSION);
	json_text(&json, "file", path);
	json_number(&json, "blocks", built->blocks);
	json_number(&json, "blocks_without_bucket", built->unknown);
	json_number(&json, "blocks_before_history", about->before);
	json_number(&json, "devices", built->devices);
	json_number(&json, "steps", built->steps);
	json_truth(&json, "phases_known", about->annotated);
	json_truth(&json, "history", about->history);
	json_end(&json);
	screen_close(out);
}

int cmd_import(const struct options *options)
{
	const char *wish = options->value[OPT_IMPORT_OUTPUT],
	           *snapshot = options->words[0];
	struct about about = {0};
	struct outlet outlet;
	struct built built;
	struct stat from, to;
	char *path;

	if (options->count != 1)
		fail(STATUS_USAGE,
		     "'import' takes one snapshot, not %d; "
		     "torch.cuda.memory._dump_snapshot(FILE) writes one",
		     options->count);
	if (wish && !strcmp(wish, "-"))
		fail(STATUS_USAGE, "a trace is a file, not a pipe; name it with -o");
	if (wish && !stat(wish, &to) && !stat(snapshot, &from) &&
	    from.st_dev == to.st_dev && from.st_ino == to.st_ino)
		fail(STATUS_USAGE,
		     "'%s' is the snapshot itself; name another file with "
		     "-o",
		     wish);
	path = wish ? copy_text(wish) : default_path(snapshot);
	about.command = format_text("tidemark import %s", snapshot);
	outlet_open(&outlet, path, options->value[OPT_FORCE]);
	built = import_snapshot(snapshot, options->value[OPT_PARQUET_PYTHON], path,
	                        outlet.partial ? outlet.partial : path, &about);
	outlet_close(&outlet);
	tell_doubts(&built, &about);
	if (options->value[OPT_JSON]) {
		print_json(path, &built, &about);
	} else {
		printf("%s: %s, %s\n", path, text_plural(built.blocks, "block").s,
		       text_plural(built.devices, "device").s);
		if (!quiet)
			printf("\n  %s%-9s%stidemark peak %s\n", style(DIM), "next",
			       style(PLAIN), path);
	}
	free(path);
	free((char *)about.command);
	return screen_flush();
}
