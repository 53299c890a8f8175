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
	fputc('\n', out);
	text_wrap(out,
	          "FILE is a trace. Without a FILE, a command reads the newest "
	          "tidemark-*.db in this folder. 'tidemark help COMMAND' explains a "
	          "command, 'tidemark help environment' the settings.",
	          0, 0);
	fputc('\n', out);
	text_wrap(
	        out,
	        "Exit status: 0 done, 1 the answer is no, 2 wrong usage, 3 the trace "
	        "cannot be read. 'run' exits with the program's own status. 'simulate' "
	        "exits with 0 if the program fits and with 1 if it does not; if the "
	        "program failed for another reason than device memory, with the "
	        "program's status (4 instead of 1, 2 and 3); and with 2 if a lever of "
	        "--with could not be applied.",
	        0, 0);
}

void help_command(enum command_id command, FILE *out)
{
	const struct command_row *row = &command_table[command];

	fprintf(out, "tidemark %s [options]%s%s\n  %s\n\n", row->name,
	        *row->words ? " " : "", row->words, row->summary);
	for (int i = 0; i < OPT_COUNT; i++)
		if (takes(command, i))
			print_option(&option_table[i], out);
}

void help_environment(FILE *out)
{
	fputs("Environment variables. The library reads them in the traced program's "
	      "environment.\nA value behind '=' is the default.\n\n",
	      out);
	for (size_t i = 0; i < environment_count; i++) {
		const struct environment_row *row = &environment_table[i];
		fprintf(out, "  %s%s%s\n      ", row->name, *row->otherwise ? "=" : "",
		        row->otherwise);
		text_wrap(out, row->what, 6, 6);
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
	      "\\fIFILE\\fR is a trace. Without a file, a command reads the newest\n"
	      "\\fItidemark\\-*.db\\fR in the current folder. \\fBtidemark\\fR "
	      "\\fIFILE\\fR alone is\n"
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
	      "0: done. 1: the answer is \"no\" (\\fBdoctor\\fR: runs cannot be "
	      "traced).\n2: wrong usage. 3: the file cannot be read, is no trace, or "
	      "has a "
	      "newer schema.\n\\fBrun\\fR exits with the program's own status.\n"
	      "\\fBsimulate\\fR exits with 0 if the program fits and with 1 if it does "
	      "not;\nif the program failed for another reason than device memory, with "
	      "the "
	      "program's\nstatus (4 instead of 1, 2 and 3); with 2 if a lever of "
	      "\\fB\\-\\-with\\fR could not be\napplied; with 3 if the program used no "
	      "device.\n"
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
