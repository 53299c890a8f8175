/* help.c - `tidemark help`, `completion` and `library`: what is told about the
 * command itself, all of it from the two tables of options.c.
 * Called from: main.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "fail.h"
#include "complete.h"
#include "help.h"
#include "library.h"
#include "screen.h"

int cmd_help(const struct options *options)
{
	if (options->value[OPT_MAN]) {
		help_man(stdout);
	} else if (options->count && !strcmp(options->words[0], "environment")) {
		help_environment(stdout);
	} else if (options->count) {
		const struct command_row *row = find_command(options->words[0]);
		if (!row)
			fail(STATUS_USAGE,
			     "there is no command '%s'; see 'tidemark help'",
			     options->words[0]);
		help_command((enum command_id)(row - command_table), stdout);
	} else {
		help_usage(stdout);
	}
	return screen_flush();
}

int cmd_completion(const struct options *options)
{
	const char *shell = options->count ? options->words[0] : "";

	if (!strcmp(shell, "bash"))
		help_bash(stdout);
	else if (!strcmp(shell, "zsh"))
		help_zsh(stdout);
	else
		fail(STATUS_USAGE, "name a shell: 'tidemark completion bash' or 'zsh'");
	return screen_flush();
}

int cmd_library(const struct options *options)
{
	char why[1024];
	char *library = library_find(why, sizeof(why));

	(void)options;
	if (!library)
		fail(STATUS_NO, "%s", why);
	puts(library);
	free(library);
	return screen_flush();
}
