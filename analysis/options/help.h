/* help.h - texts made from the tables of commands and options. */
#ifndef TIDEMARK_ANALYSIS_HELP_H
#define TIDEMARK_ANALYSIS_HELP_H

#include <stdio.h>

#include "options.h"

void help_usage(FILE *out);                            /* all commands */
void help_command(enum command_id command, FILE *out); /* one, with its options */
void help_environment(FILE *out); /* the variables, with their defaults */
void help_man(FILE *out);         /* roff, for tidemark(1) */

#endif
