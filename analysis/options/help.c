/* help.c - texts made from the tables of commands and options.
 * Called from: commands/help.c, commands/main.c. */
#include "help.h"

#include <ctype.h>
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
	      "  tidemark run -- python train.py    record a run\n"
	      "  tidemark report                    show what was recorded\n\n",
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
	          "command. 'tidemark help environment' explains the settings.",
	          0, 0);
	fputs("\nExit status:\n"
	      "  0  the command is done\n"
	      "  1  the answer is no\n"
	      "  2  the command line is wrong\n"
	      "  3  the trace cannot be read\n\n",
	      out);
	text_wrap(
	        out,
	        "'run' exits with the status of your program. 'simulate' exits with 0 "
	        "if the program fits, with 1 if it does not fit, and with 2 if a lever "
	        "of --with could not be applied. If the program failed for a reason "
	        "other than device memory, 'simulate' exits with the status of the "
	        "program, but with 4 where that status is 1, 2 or 3.",
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
	fputs("The library reads these variables from the environment of the traced "
	      "program.\nThe tidemark command reads the last three. The value after "
	      "'=' "
	      "is the default.\n\n",
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

/* The tables have no capitals and no full stops, as a screen wants them. */
static void roff_sentence(const char *text, FILE *out)
{
	bool lower = islower((unsigned char)*text);

	if (lower)
		fputc(toupper((unsigned char)*text), out);
	roff(text + lower, out);
	fputs(".\n", out);
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
	roff_sentence(row->help, out);
}

static void man_statuses(FILE *out)
{
	fputs(".SH EXIT STATUS\n"
	      ".TP\n.B 0\nThe command is done.\n"
	      ".TP\n.B 1\nThe answer is no. For \\fBdoctor\\fR: runs of this Python "
	      "cannot be traced.\n"
	      ".TP\n.B 2\nThe command line is wrong.\n"
	      ".TP\n.B 3\nThe file cannot be read, is not a trace, or has a newer "
	      "schema.\n"
	      ".PP\n\\fBrun\\fR exits with the status of your program.\n"
	      ".PP\n\\fBsimulate\\fR exits with 0 if the program fits, and with 1 if "
	      "it "
	      "does not fit.\nIt exits with 2 if a lever of \\fB\\-\\-with\\fR could "
	      "not "
	      "be applied, and with 3 if\nthe program used no device. If the program "
	      "failed for a reason other than\ndevice memory, \\fBsimulate\\fR exits "
	      "with the status of the program, but with\n4 where that status is 1, 2 "
	      "or "
	      "3.\n",
	      out);
}

void help_man(FILE *out)
{
	fputs(".TH TIDEMARK 1 \"\" \"tidemark " TIDEMARK_VERSION
	      "\" \"User Commands\"\n"
	      ".SH NAME\n"
	      "tidemark \\- show where training memory goes, and what would make it "
	      "fit\n"
	      ".SH SYNOPSIS\n"
	      ".B tidemark\n.I COMMAND\n[options] [\\fIFILE\\fR]\n"
	      ".SH DESCRIPTION\n"
	      "Tidemark records the memory that a PyTorch program uses. You do not "
	      "have\n"
	      "to change the program: a library is loaded into it, and writes a "
	      "trace.\n"
	      "The trace is an SQLite file. The commands read it and answer "
	      "questions.\n"
	      ".PP\n"
	      "\\fIFILE\\fR is a trace. Without a \\fIFILE\\fR, a command reads the "
	      "newest\n"
	      "\\fItidemark\\-*.db\\fR in the current folder. \\fBtidemark\\fR "
	      "\\fIFILE\\fR does the\n"
	      "same as \\fBtidemark report\\fR \\fIFILE\\fR.\n"
	      ".SH COMMANDS\n",
	      out);
	for (int c = 0; c < COMMAND_COUNT; c++) {
		const struct command_row *row = &command_table[c];
		fprintf(out, ".SS \"%s ", row->name);
		roff(row->words, out);
		fputs("\"\n", out);
		roff_sentence(row->summary, out);
		for (int i = 0; i < OPT_COUNT; i++)
			if (takes((enum command_id)c, i) && i != OPT_HELP)
				man_option(&option_table[i], out);
	}
	man_statuses(out);
	fputs(".SH ENVIRONMENT\n"
	      "The library reads these variables from the environment of the traced\n"
	      "program. The \\fBtidemark\\fR command reads the last three. The value "
	      "after =\nis the default.\n",
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
		roff_sentence(row->what, out);
	}
}
