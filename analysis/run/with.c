/* with.c - `simulate --with`: levers that are applied to a program from outside. The program's
 * Python applies them (simulator/with/); here is which, and what became of each.
 * Called from: commands/simulate.c, outcome_print.c, verify.c. */
#include "with.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fail.h"
#include "heap.h"
#include "nearest.h"
#include "quantity.h"
#include "scratch.h"
#include "stubs.h"
#include "text.h"

enum value { NONE, MAYBE, NUMBER };

static const struct {
	const char *id;
	enum value value;
	const char *help;
} known[] = {
#define LEVER(id, value, help) {#id, value, help},
#include "with.def"
#undef LEVER
};
enum { KNOWN = sizeof(known) / sizeof(*known) };

static int find(const char *lever)
{
	for (int i = 0; i < KNOWN; i++)
		if (!strcmp(known[i].id, lever))
			return i;
	return -1;
}

bool with_knows(const char *lever)
{
	return lever && find(lever) >= 0;
}

void with_list(FILE *out)
{
	static const char *const values[] = {"", "[=NAME]", "=N"};
	struct table *table = table_new("<~");

	for (int i = 0; i < KNOWN; i++) {
		table_cell(table, BOLD, "%s%s", known[i].id, values[known[i].value]);
		table_cell(table, PLAIN, "%s", known[i].help);
	}
	table_print(table, out, 2, false);
	table_free(table);
}

static void refuse_unknown(const char *lever)
{
	const char *near = NULL;
	int best = 3; /* two slips */

	for (int i = 0; i < KNOWN; i++)
		if (word_is_close(lever, known[i].id, &best))
			near = known[i].id;
	if (near)
		fail(STATUS_USAGE, "'--with' knows no '%s'; did you mean '%s'?", lever,
		     near);
	fail(STATUS_USAGE,
	     "'--with' knows no '%s'; 'tidemark simulate --with list' has all", lever);
}

static void check_value(enum value value, const struct applied *lever)
{
	char *end;

	if (value == NONE && *lever->value)
		fail(STATUS_USAGE, "'--with %s' takes no value", lever->lever);
	if (value != NUMBER)
		return;
	if (!*lever->value)
		fail(STATUS_USAGE, "'--with %s' needs a number: '%s=8'", lever->lever,
		     lever->lever);
	if (strtoll(lever->value, &end, 10) < 1 || *end)
		fail(STATUS_USAGE, "'--with %s' takes a number from 1 on, not '%s'",
		     lever->lever, lever->value);
}

void with_parse(const char *text, struct with *with)
{
	char *copy = copy_text(text), *rest = NULL;
	size_t room = 0;

	*with = (struct with){0};
	for (char *word = strtok_r(copy, ",", &rest); word;
	     word = strtok_r(NULL, ",", &rest)) {
		char *equals = strchr(word, '=');
		struct applied lever = {.value = copy_text(equals ? equals + 1 : "")};
		lever.lever = format_text(
		        "%.*s", (int)(equals ? (size_t)(equals - word) : strlen(word)),
		        word);
		if (find(lever.lever) < 0)
			refuse_unknown(lever.lever);
		check_value(known[find(lever.lever)].value, &lever);
		with->levers =
		        grow(with->levers, with->count, &room, sizeof(*with->levers));
		with->levers[with->count++] = lever;
	}
	free(copy);
	if (!with->count)
		fail(STATUS_USAGE, "'--with' names no lever; 'tidemark simulate --with "
		                   "list' has all");
}

void with_free(struct with *with)
{
	for (size_t i = 0; i < with->count; i++) {
		free(with->levers[i].lever);
		free(with->levers[i].value);
		free(with->levers[i].what);
	}
	free(with->levers);
	free(with->report);
	*with = (struct with){0};
}

/* The allocator's setting is in the environment, for what of the program is not Python too. */
static void set_expandable(void)
{
	static const char setting[] = "expandable_segments:True";
	const char *name = getenv("PYTORCH_ALLOC_CONF") ? "PYTORCH_ALLOC_CONF"
	                                                : "PYTORCH_CUDA_ALLOC_CONF";
	const char *already = getenv(name);
	char *text = already && *already ? format_text("%s,%s", already, setting)
	                                 : copy_text(setting);

	setenv(name, text, 1);
	free(text);
}

void with_prepare(struct with *with, const char *stubs)
{
	char *script = format_text("%s/../with/sitecustomize.py", stubs);
	char *text = copy_text("");

	if (access(script, R_OK))
		fail(STATUS_USAGE, "cannot read '%s', which applies levers", script);
	for (size_t i = 0; i < with->count; i++) {
		const struct applied *lever = &with->levers[i];
		char *longer =
		        format_text("%s%s%s%s%s", text, i ? "," : "", lever->lever,
		                    *lever->value ? "=" : "", lever->value);
		free(text);
		text = longer;
		if (!strcmp(lever->lever, "expandable_segments"))
			set_expandable();
	}
	with->report = scratch_file("with.txt");
	setenv("TIDEMARK_WITH", text, 1);
	if (with->report)
		setenv("TIDEMARK_WITH_REPORT", with->report, 1);
	free(script);
	free(text);
}

/* "applied<tab>LEVER<tab>to what". Of several processes one is enough; of those in which there
 * was nothing to do, the one that has most to say knows most modules. */
static void take(struct with *with, char *line)
{
	char *lever = strchr(line, '\t'),
	     *what = lever ? strchr(lever + 1, '\t') : NULL;
	bool done = !strncmp(line, "applied", strlen("applied"));

	if (!what)
		return;
	*lever++ = *what++ = 0;
	what[strcspn(what, "\n")] = 0;
	for (size_t i = 0; i < with->count; i++) {
		struct applied *at = &with->levers[i];
		if (strcmp(at->lever, lever) != 0 || at->done ||
		    (!done && at->what && strlen(at->what) >= strlen(what)))
			continue;
		free(at->what);
		at->what = copy_text(what);
		at->done = done;
	}
}

bool with_read(struct with *with)
{
	FILE *file = with->report ? fopen(with->report, "re") : NULL;
	char *line = NULL;
	size_t size = 0;
	bool all = true;

	for (size_t i = 0; i < with->count; i++) {
		free(with->levers[i].what);
		with->levers[i].what = NULL;
		with->levers[i].done = false;
	}
	while (file && getline(&line, &size, file) > 0)
		take(with, line);
	if (file) {
		fclose(file);
		unlink(with->report); /* the next card's run begins anew */
	}
	free(line);
	for (size_t i = 0; i < with->count; i++)
		all = all && with->levers[i].done;
	return all;
}

void with_say(const struct with *with)
{
	for (size_t i = 0; i < with->count; i++) {
		const struct applied *lever = &with->levers[i];
		if (lever->done)
			note("with %s: %s", lever->lever, lever->what);
		else if (lever->what)
			warn("'%s' was not applied: %s", lever->lever, lever->what);
		else
			warn("'%s' was not applied: the program ended before it used "
			     "PyTorch, or its Python takes no PYTHONPATH (-I, -E)",
			     lever->lever);
	}
}

void with_json(const struct with *with, struct json *json)
{
	json_array(json, "with");
	for (size_t i = 0; i < with->count; i++) {
		const struct applied *lever = &with->levers[i];
		json_object(json, NULL);
		json_text(json, "lever", lever->lever);
		json_text(json, "value", *lever->value ? lever->value : NULL);
		json_truth(json, "applied", lever->done);
		json_text(json, "what", lever->what);
		json_end(json);
	}
	json_end(json);
}
