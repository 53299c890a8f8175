/* options.h - the tables of commands and options, and the parser that reads them. */
#ifndef TIDEMARK_ANALYSIS_OPTIONS_H
#define TIDEMARK_ANALYSIS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum command_id {
#define COMMAND(id, name, words, summary, function) COMMAND_##id,
#include "commands.def"
#undef COMMAND
	COMMAND_COUNT
};

enum option_id {
#define OPTION(id, commands, letter, name, argument, help) OPT_##id,
#include "options.def"
#undef OPTION
	OPT_COUNT
};

struct options {
	const char *value[OPT_COUNT]; /* NULL where not given; "" for a given flag */
	char **words; /* what is not an option, and NULL; in argv's own space */
	int count;
	enum command_id command;
};

struct command_row {
	const char *name, *words, *summary;
};

struct option_row {
	unsigned commands; /* bit n: command n takes it */
	char letter;       /* 0 where it has none */
	const char *name, *argument, *help;
};

extern const struct command_row command_table[COMMAND_COUNT];
extern const struct option_row option_table[OPT_COUNT];

/* NULL where there is no such command. */
const struct command_row *find_command(const char *name);

/* The closest command name, or NULL where none is close. */
const char *nearest_command(const char *name);

/* Reads argv[0..argc) for one command. 0, or -1 with one line in why. Stops at "--";
 * for a command that runs a program also at the first word that is no option: the rest
 * is the program's. */
int options_parse(enum command_id command, int argc, char **argv,
                  struct options *options, char *why, size_t size);

/* The trace that the words name, NULL where they name none. Ends the program with status 2
 * where they name several. */
const char *options_file(const struct options *options);

/* Which of `count` words an option has, -1 where it is not given; capitals do not count, and '_'
 * is as good as '-'. Ends the program with status 2 for another word, and names the nearest. */
int option_choice(const struct options *options, enum option_id id,
                  const char *const *names, int count);

/* How many rows a list has: --top, all with --full, else what the command shows by itself. */
int64_t option_rows(const struct options *options, int64_t otherwise);

/* `run` and `simulate`: what follows their options is a program and its words. */
bool runs_program(enum command_id command);

const char *option_name(enum option_id id);

/* A decimal number >= 0. false: not given. Ends the program with status 2 if it is
 * none. */
bool option_number(const struct options *options, enum option_id id, int64_t *number);

#endif
