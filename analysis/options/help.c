/* help.c - texts made from the tables of commands and options.
 * Called from: commands/help.c, commands/main.c. */
#include "help.h"

#include <string.h>

#include "environment.h"
#include "text.h"

static bool takes(enum command_id command, int option)
{
	return option_table[option].commands & (1u << command);
}

static void print_option(const struct option_row *row, FILE *out)
{
	char left[64];
	int width;

	snprintf(left, sizeof(left), "%s%c%s--%s%s%s", row->letter ? "-" : " ",
	         row->letter ? row->letter : ' ', row->letter ? ", " : "  ", row->name,
	         row->argument ? " " : "", row->argument ? row->argument : "");
	width = text_width(left);
	fprintf(out, "  %s", left);
	if (width > 22)
		fprintf(out, "\n%26s", "");
	else
		fprintf(out, "%*s", 24 - width, "");
	text_wrap(out, row->help, 26, 26);
}

void help_usage(FILE *out)
{
	int longest = 0;

	fputs("tidemark - where did my training memory go, and what would make it "
	      "fit?\n\n"
	      "  tidemark run -- python train.py    trace a run\n"
	      "  tidemark report                    then ask\n\n",
	      out);
	for (int i = 0; i < COMMAND_COUNT; i++) {
		int width = (int)strlen(command_table[i].name);
		longest = width > longest ? width : longest;
	}
	for (int i = 0; i < COMMAND_COUNT; i++) {
		fprintf(out, "  %-*s  ", longest, command_table[i].name);
		text_wrap(out, command_table[i].summary, longest + 4, longest + 4);
	}
	fputs("\nFILE is a trace; without one, the newest tidemark-*.db in this "
	      "folder.\n"
	      "'tidemark help COMMAND' tells more, 'tidemark help environment' the "
	      "settings.\n"
	      "Exit status: 0 done, 1 the answer is no, 2 usage, 3 unreadable trace;\n"
	      "of 'run' it is the program's own; of 'simulate' 0 fits, 1 does not, and "
	      "the\n"
	      "program's own where it failed for another reason than device memory (4 "
	      "for\nits 1, 2 and 3), 2 also where a lever of --with was not "
	      "applied.\n",
	      out);
}

void help_command(enum command_id command, FILE *out)
{
	const struct command_row *row = &command_table[command];

	fprintf(out, "tidemark %s [options] %s\n  %s\n\n", row->name, row->words,
	        row->summary);
	for (int i = 0; i < OPT_COUNT; i++)
		if (takes(command, i))
			print_option(&option_table[i], out);
}

void help_environment(FILE *out)
{
	fputs("Environment variables of the library (in the traced program's "
	      "environment) "
	      "and of\nthe command, with their defaults:\n\n",
	      out);
	for (size_t i = 0; i < environment_count; i++) {
		const struct environment_row *row = &environment_table[i];
		fprintf(out, "  %s%s%s\n      %s\n", row->name,
		        *row->otherwise ? "=" : "", row->otherwise, row->what);
	}
}

/* In roff a '-' is a hyphen unless escaped, and a leading dot is a request. */
static void roff(const char *text, FILE *out)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", out);
	for (; *text; text++) {
		if (*text == '-')
			fputs("\\-", out);
		else if (*text == '\\')
			fputs("\\e", out);
		else if (!strncmp(text, "…", 3))
			fputs("...", out), text += 2;
		else
			fputc(*text, out);
	}
}

static void man_option(const struct option_row *row, FILE *out)
{
	fputs(".TP\n", out);
	if (row->letter)
		fprintf(out, "\\fB\\-%c\\fR, ", row->letter);
	fputs("\\fB\\-\\-", out);
	roff(row->name, out);
	fputs("\\fR", out);
	if (row->argument) {
		fputs(" \\fI", out);
		roff(row->argument, out);
		fputs("\\fR", out);
	}
	fputc('\n', out);
	roff(row->help, out);
	fputc('\n', out);
}

void help_man(FILE *out)
{
	fputs(".TH TIDEMARK 1 \"\" \"tidemark " TIDEMARK_VERSION
	      "\" \"User Commands\"\n"
	      ".SH NAME\n"
	      "tidemark \\- where training memory goes, and what would make it fit\n"
	      ".SH SYNOPSIS\n"
	      ".B tidemark\n.I COMMAND\n[options] [\\fIFILE\\fR]\n"
	      ".SH DESCRIPTION\n"
	      "Traces the memory of an unmodified PyTorch program through a preloaded\n"
	      "library, and answers questions from the trace, an SQLite file.\n"
	      "\\fIFILE\\fR is a trace; without one, the newest "
	      "\\fItidemark\\-*.db\\fR in\n"
	      "the current folder. \\fBtidemark\\fR \\fIFILE\\fR alone is\n"
	      "\\fBtidemark report\\fR \\fIFILE\\fR.\n"
	      ".SH COMMANDS\n",
	      out);
	for (int c = 0; c < COMMAND_COUNT; c++) {
		const struct command_row *row = &command_table[c];
		fprintf(out, ".SS \"%s ", row->name);
		roff(row->words, out);
		fputs("\"\n", out);
		roff(row->summary, out);
		fputs(".\n", out);
		for (int i = 0; i < OPT_COUNT; i++)
			if (takes((enum command_id)c, i) && i != OPT_HELP)
				man_option(&option_table[i], out);
	}
	fputs(".SH EXIT STATUS\n"
	      "0 done; 1 the answer is \"no\" (\\fBdoctor\\fR: cannot trace); 2 "
	      "usage;\n"
	      "3 the file is unreadable, foreign or of a newer schema. \\fBrun\\fR "
	      "returns\n"
	      "the status of the program. \\fBsimulate\\fR: 0 fits, 1 does not fit; "
	      "the "
	      "status\n"
	      "of the program where it failed for another reason than device memory, "
	      "4\nwhere that is 1, 2 or 3; 2 also where\na lever of \\fB\\-\\-with\\fR "
	      "was not applied; 3 where it "
	      "used no device.\n"
	      ".SH ENVIRONMENT\n",
	      out);
	for (size_t i = 0; i < environment_count; i++) {
		const struct environment_row *row = &environment_table[i];
		fputs(".TP\n.B ", out);
		roff(row->name, out);
		if (*row->otherwise) {
			fputs("=", out);
			roff(row->otherwise, out);
		}
		fputc('\n', out);
		roff(row->what, out);
		fputc('\n', out);
	}
}
