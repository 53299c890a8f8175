/* ask.h - what the other commands answer about a trace, for the page: their own JSON. */
#ifndef TIDEMARK_ANALYSIS_ASK_H
#define TIDEMARK_ANALYSIS_ASK_H

#include <stdio.h>

/* The subcommands whose answers the page shows: those of ask_words[], up to NULL. */
extern const char *const *const ask_commands;

/* Writes the answer of one of them about the trace at path as it stands inside a script of a
 * page, without blanks: its JSON, or {"error": SENTENCE} where it had none. device: NULL for
 * all. rows: how many of a list of who was alive, NULL for all. Runs this program once more. */
void ask(const char *command, const char *path, const char *device, const char *rows,
         FILE *out);

/* Writes JSON so that it may stand inside a script of a page: no '<' in it, and no blanks. */
void ask_inside(const char *json, FILE *out);

#endif
