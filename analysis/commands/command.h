/* command.h - one function a subcommand; each is in the file NAME.c. */
#ifndef TIDEMARK_ANALYSIS_COMMAND_H
#define TIDEMARK_ANALYSIS_COMMAND_H

#include "options.h"

/* Each answers one command line and returns the exit status. */
#define COMMAND(id, name, words, summary, function)                                    \
	int function(const struct options *options);
#include "commands.def"
#undef COMMAND

#endif
