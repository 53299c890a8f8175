/* main.c - the tidemark command: finds the subcommand and hands over. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "fail.h"
#include "file.h"
#include "help.h"
#include "screen.h"
#include "term.h"

static int (*const functions[COMMAND_COUNT])(const struct options *options) = {
#define COMMAND(id, name, words, summary, function) [COMMAND_##id] = function,
#include "commands.def"
#undef COMMAND
};

/* `tidemark FILE` is `tidemark report FILE`. */
static bool names_file(const char *word)
{
	size_t length = strlen(word);
	return strchr(word, '/') || !access(word, F_OK) ||
	       (length > 3 && !strcmp(word + length - 3, ".db"));
}

static int unknown_command(const char *word)
{
	const char *nearest = nearest_command(word);
	if (nearest)
		fail(STATUS_USAGE, "there is no command '%s'; did you mean '%s'?", word,
		     nearest);
	fail(STATUS_USAGE, "there is no command '%s'; see 'tidemark help'", word);
}

static int run_command(enum command_id command, int argc, char **argv)
{
	struct options options;
	char why[256];

	if (options_parse(command, argc, argv, &options, why, sizeof(why)))
		fail(STATUS_USAGE, "%s", why);
	if (options.value[OPT_HELP]) {
		help_command(command, stdout);
		return screen_flush();
	}
	quiet = options.value[OPT_QUIET];
	term_init(options.value[OPT_COLOR]);
	term.wide = options.value[OPT_WIDE];
	return functions[command](&options);
}

int main(int argc, char **argv)
{
	const struct command_row *row;

	term_init(NULL);
	if (argc < 2) {
		help_usage(stderr);
		return STATUS_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		help_usage(stdout);
		return screen_flush();
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		printf("tidemark %s, reads schema %d\n", TIDEMARK_VERSION,
		       SCHEMA_USER_VERSION);
		return screen_flush();
	}
	row = find_command(argv[1]);
	if (row)
		return run_command((enum command_id)(row - command_table), argc - 2,
		                   argv + 2);
	if (argv[1][0] != '-' && names_file(argv[1]))
		return run_command(COMMAND_REPORT, argc - 1, argv + 1);
	if (argv[1][0] == '-')
		fail(STATUS_USAGE,
		     "'%s' comes before any command; write the command first, as in "
		     "'tidemark peak %s'",
		     argv[1], argv[1]);
	return unknown_command(argv[1]);
}
