/* complete.h - completion scripts for shells, made from the tables of commands and options. */
#ifndef TIDEMARK_ANALYSIS_COMPLETE_H
#define TIDEMARK_ANALYSIS_COMPLETE_H

#include <stdio.h>

#include "options.h"

void help_bash(FILE *out);
void help_zsh(FILE *out);

#endif
