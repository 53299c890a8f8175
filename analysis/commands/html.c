/* html.c - `tidemark html`: traces as one page to look at and to send to others.
 * Called from: main.c. */
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "fail.h"
#include "heap.h"
#include "page.h"
#include "screen.h"
#include "term.h"
#include "text.h"

/* "run.db" to "run.html", in the current folder; the caller's. */
static char *default_name(const char *trace)
{
	const char *slash = strrchr(trace, '/'), *name = slash ? slash + 1 : trace;
	const char *dot = strrchr(name, '.');
	int length = dot && dot > name ? (int)(dot - name) : (int)strlen(name);

	return format_text("%.*s.html", length, name);
}

struct list {
	char **names;
	size_t count, room;
};

static void add(struct list *list, const char *name)
{
	list->names = grow(list->names, list->count, &list->room, sizeof(char *));
	list->names[list->count++] = name ? copy_text(name) : NULL;
}

/* A folder stands for the traces in it. */
static void add_word(struct list *list, const char *word)
{
	glob_t found = {0};
	struct stat st;
	char *pattern;

	if (stat(word, &st) || !S_ISDIR(st.st_mode)) {
		add(list, word);
		return;
	}
	pattern = format_text("%s/*.db", word);
	glob(pattern, 0, NULL, &found);
	for (size_t i = 0; i < found.gl_pathc; i++)
		add(list, found.gl_pathv[i]);
	if (!found.gl_pathc)
		fail(STATUS_UNREADABLE, "no file '*.db' in the folder '%s'", word);
	globfree(&found);
	free(pattern);
}

/* Writes the page beside its place and puts it there whole; without text it only sees whether that
 * can be done, before the work. */
static void put(const char *path, const char *text, size_t size)
{
	char *beside = format_text("%s.%d", path, (int)getpid());
	FILE *out = fopen(beside, "we");
	bool whole = out && fwrite(text, 1, size, out) == size;
	int why = errno;

	if (out && fclose(out) && whole) {
		why = errno;
		whole = false;
	}
	if (whole && size && rename(beside, path)) {
		why = errno;
		whole = false;
	}
	if (out && (!whole || !size))
		unlink(beside);
	if (!whole)
		fail(STATUS_USAGE, "cannot write '%s': %s", path, strerror(why));
	free(beside);
}

static void tell(const struct options *options, const char *path)
{
	FILE *out = screen_open();
	struct stat st = {0};
	struct json json;

	stat(path, &st);
	if (options->value[OPT_JSON]) {
		json_begin(&json, out);
		json_head(&json, SCHEMA_USER_VERSION);
		json_text(&json, "page", path);
		json_number(&json, "bytes", st.st_size);
		json_end(&json);
	} else {
		fprintf(out, "wrote %s, %s: it needs nothing but a browser\n", path,
		        text_size(st.st_size).s);
		if (!quiet)
			fprintf(out, "\n  %snext%s     xdg-open %s\n", style(DIM),
			        style(PLAIN), path);
	}
	screen_close(out);
}

/* Everything is read before anything is written: a file that cannot be read leaves no page. */
int cmd_html(const struct options *options)
{
	const char *wish = options->value[OPT_PAGE_OUTPUT];
	char *path = wish ? copy_text(wish) : NULL, *text = NULL;
	struct list list = {0};
	size_t size;
	FILE *out;

	if (!page_is_there())
		fail(STATUS_USAGE,
		     "this tidemark was built without the page; 'pip install "
		     "torch-tidemark' has it, or a build with node and npm");
	for (int i = 0; i < options->count; i++)
		add_word(&list, options->words[i]);
	if (!options->count)
		add(&list, NULL);
	out = open_memstream(&text, &size);
	if (!out)
		out_of_memory();
	page_begin(out);
	for (size_t i = 0; i < list.count; i++) {
		struct trace *trace = trace_open(list.names[i]);
		if (!path)
			path = default_name(trace->name);
		if (!i)
			put(path, "", 0);
		page_trace(trace, options->value[OPT_DEVICE], i == 0, out);
		trace_close(trace);
		free(list.names[i]);
	}
	page_end(out);
	fclose(out);
	put(path, text, size);
	tell(options, path);
	free(list.names);
	free(text);
	free(path);
	return STATUS_DONE;
}
