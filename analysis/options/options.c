/* options.c - the tables of commands and options, and the parser that reads them.
 * Called from: commands/, measure/, options/, plan/, run/. */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "nearest.h"

const struct command_row command_table[COMMAND_COUNT] = {
#define COMMAND(id, name, words, summary, function) {#name, words, summary},
#include "commands.def"
#undef COMMAND
};

#define ON(command) (1u << COMMAND_##command)
#define EVERY       ((1u << COMMAND_COUNT) - 1)
const struct option_row option_table[OPT_COUNT] = {
#define OPTION(id, commands, letter, name, argument, help)                             \
	{commands, letter, name, argument, help},
#include "options.def"
#undef OPTION
};

const struct command_row *find_command(const char *name)
{
	for (int i = 0; i < COMMAND_COUNT; i++)
		if (!strcmp(name, command_table[i].name))
			return &command_table[i];
	return NULL;
}

const char *nearest_command(const char *name)
{
	const char *nearest = NULL;
	for (int i = 0, best = 3; i < COMMAND_COUNT; i++)
		if (word_is_close(name, command_table[i].name, &best))
			nearest = command_table[i].name;
	return nearest;
}

static const struct option_row *find_option(enum command_id command, const char *name,
                                            size_t length)
{
	for (int i = 0; i < OPT_COUNT; i++) {
		const struct option_row *row = &option_table[i];
		if ((row->commands & (1u << command)) && strlen(row->name) == length &&
		    !strncmp(name, row->name, length))
			return row;
	}
	return NULL;
}

static const struct option_row *find_letter(enum command_id command, char letter)
{
	for (int i = 0; i < OPT_COUNT; i++)
		if ((option_table[i].commands & (1u << command)) &&
		    option_table[i].letter == letter)
			return &option_table[i];
	return NULL;
}

static int unknown(enum command_id command, const char *word, char *why, size_t size)
{
	char typed[64];
	const char *nearest = NULL;

	snprintf(typed, sizeof(typed), "%.*s", (int)strcspn(word, "="), word);
	for (int i = 0, best = 3; i < OPT_COUNT; i++)
		if ((option_table[i].commands & (1u << command)) && typed[1] == '-' &&
		    word_is_close(typed + 2, option_table[i].name, &best))
			nearest = option_table[i].name;
	if (nearest)
		snprintf(why, size, "'%s' has no option '%s'; did you mean '--%s'?",
		         command_table[command].name, typed, nearest);
	else
		snprintf(why, size, "'%s' has no option '%s'; see 'tidemark help %s'",
		         command_table[command].name, typed,
		         command_table[command].name);
	return -1;
}

/* One option at argv[*at]; moves *at over its argument. */
static int parse_option(enum command_id command, char **argv, int argc, int *at,
                        struct options *options, char *why, size_t size)
{
	const char *word = argv[*at], *value = NULL;
	const struct option_row *row;

	if (word[1] == '-') {
		size_t length = strcspn(word + 2, "=");
		row = find_option(command, word + 2, length);
		if (word[2 + length])
			value = word + 2 + length + 1;
	} else {
		row = find_letter(command, word[1]);
		if (word[2])
			value = word + 2;
	}
	if (!row || (value && !row->argument && word[1] != '-'))
		return unknown(command, word, why, size);
	if (value && !row->argument) {
		snprintf(why, size, "'--%s' takes no value", row->name);
		return -1;
	}
	if (row->argument && !value) {
		if (*at + 1 == argc) {
			snprintf(why, size, "'%s' needs a value: %s", word,
			         row->argument);
			return -1;
		}
		value = argv[++*at];
	}
	options->value[row - option_table] = value ? value : "";
	return 0;
}

const char *options_file(const struct options *options)
{
	if (options->count > 1)
		fail(STATUS_USAGE, "'%s' reads one trace at a time, not %d",
		     command_table[options->command].name, options->count);
	return options->count ? options->words[0] : NULL;
}

bool runs_program(enum command_id command)
{
	return command == COMMAND_RUN || command == COMMAND_SIMULATE;
}

int options_parse(enum command_id command, int argc, char **argv,
                  struct options *options, char *why, size_t size)
{
	memset(options, 0, sizeof(*options));
	options->command = command;
	options->words = argv; /* words are moved to the front, over what was read */
	for (int at = 0; at < argc; at++) {
		const char *word = argv[at];
		bool ends = !strcmp(word, "--");
		bool option = word[0] == '-' && word[1] && !ends;
		if (option) {
			if (parse_option(command, argv, argc, &at, options, why, size))
				return -1;
		} else if (ends || runs_program(command)) {
			at += ends;
			while (at < argc)
				options->words[options->count++] = argv[at++];
		} else {
			options->words[options->count++] = argv[at];
		}
	}
	options->words[options->count] = NULL; /* as execv() wants it */
	return 0;
}

const char *option_name(enum option_id id)
{
	return option_table[id].name;
}

bool option_number(const struct options *options, enum option_id id, int64_t *number)
{
	const char *value = options->value[id];
	char *end;

	if (!value)
		return false;
	errno = 0;
	*number = strtoll(value, &end, 10);
	if (errno || end == value || *end || *number < 0)
		fail(STATUS_USAGE, "'--%s' takes a number, not '%s'", option_name(id),
		     value);
	return true;
}

int64_t option_rows(const struct options *options, int64_t otherwise)
{
	int64_t rows = options->value[OPT_FULL] ? INT64_MAX : otherwise;

	if (options->value[OPT_FULL] && options->value[OPT_TOP])
		fail(STATUS_USAGE,
		     "'--full' shows all rows and '--top' some of them; choose one");
	option_number(options, OPT_TOP, &rows);
	return rows;
}

/* "AdamW" and "sgd_momentum" are "adamw" and "sgd-momentum". */
static bool same_word(const char *typed, const char *name)
{
	for (; *typed && *name; typed++, name++) {
		char letter =
		        *typed == '_' ? '-' : (char)tolower((unsigned char)*typed);
		if (letter != *name)
			return false;
	}
	return !*typed && !*name;
}

int option_choice(const struct options *options, enum option_id id,
                  const char *const *names, int count)
{
	const char *value = options->value[id], *nearest = NULL;
	char list[256] = "", typed[64];
	int best = 3;

	if (!value)
		return -1;
	snprintf(typed, sizeof(typed), "%s", value);
	for (char *at = typed; *at; at++)
		*at = (char)tolower((unsigned char)*at);
	for (int i = 0; i < count; i++) {
		int distance = word_distance(typed, names[i]);
		size_t length = strlen(list);
		if (same_word(value, names[i]))
			return i;
		if (distance < best && distance < (int)strlen(names[i])) {
			best = distance;
			nearest = names[i];
		}
		snprintf(list + length, sizeof(list) - length, "%s%s", i ? ", " : "",
		         names[i]);
	}
	fail(STATUS_USAGE, "'--%s' is one of %s, not '%s'%s%s%s", option_name(id), list,
	     value, nearest ? "; did you mean '" : "", nearest ? nearest : "",
	     nearest ? "'?" : "");
}
