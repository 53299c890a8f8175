/* next.c - what to type next, below an answer about a trace.
 * Called from: commands/. */
#include "next.h"

#include <string.h>

#include "fail.h"
#include "term.h"

/* A file name that a shell would not take as it is goes between quotes. */
static void print_quoted(FILE *out, const char *name)
{
	if (!name[strcspn(name, " \t\n'\"\\$`&|;<>()*?[]{}~#!")]) {
		fputs(name, out);
		return;
	}
	fputc('\'', out);
	for (; *name; name++)
		fputs(*name == '\'' ? "'\\''" : (char[]){*name, 0}, out);
	fputc('\'', out);
}

void next_commands_for(const char *file, FILE *out, const char *first,
                       const char *second)
{
	const char *commands[] = {first, second};
	if (quiet)
		return;
	fputc('\n', out);
	for (int i = 0; i < 2 && commands[i]; i++) {
		fprintf(out, "  %s%-9s%stidemark %s ", style(DIM), i ? "" : "next",
		        style(PLAIN), commands[i]);
		print_quoted(out, file);
		fputc('\n', out);
	}
}

void next_commands(const struct trace *trace, FILE *out, const char *first,
                   const char *second)
{
	next_commands_for(trace->name, out, first, second);
}
