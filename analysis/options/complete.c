/* complete.c - completion scripts for bash and zsh: commands, options, the values that an option
 * takes, and behind "--" what the program itself completes.
 * Called from: commands/help.c. */
#include "complete.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"

#define ON(command) (1u << COMMAND_##command)
#define EVERY       ((1u << COMMAND_COUNT) - 1)

static const struct {
	enum option_id option;
	unsigned commands;
	const char *words;
} value_table[] = {
#define VALUES(option, commands, words) {OPT_##option, commands, words},
#include "values.def"
#undef VALUES
};

static bool takes(int command, int option)
{
	return option_table[option].commands & (1u << command);
}

/* "none|python|TIME" as "none python": what stands in capitals is no word to type. */
static char *words_of(const char *argument)
{
	char *words = copy_text(""), *rest = NULL, *copy, *word;

	if (!argument || !strchr(argument, '|'))
		return words;
	copy = copy_text(argument);
	for (word = strtok_r(copy, "|", &rest); word;
	     word = strtok_r(NULL, "|", &rest)) {
		char *longer;
		if (word[strcspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ[…")])
			continue;
		longer = format_text("%s%s%s", words, *words ? " " : "", word);
		free(words);
		words = longer;
	}
	free(copy);
	return words;
}

/* The words that an option takes; "" where they are not known. The caller's. */
static char *values_of(int command, int option)
{
	for (size_t i = 0; i < sizeof(value_table) / sizeof(*value_table); i++)
		if ((int)value_table[i].option == option &&
		    value_table[i].commands & (1u << command))
			return copy_text(value_table[i].words);
	return words_of(option_table[option].argument);
}

static bool is_file(const struct option_row *row)
{
	return row->argument &&
	       (!strcmp(row->argument, "FILE") || !strcmp(row->argument, "PATH"));
}

static bool is_card(int option)
{
	return option == OPT_GPU || option == OPT_SIM_GPU;
}

/* What a command takes beside its options. */
enum operand { NOTHING, A_TRACE, A_PROGRAM, A_COMMAND, A_PYTHON, A_WORD };

static enum operand operand_of(int command)
{
	const char *words = command_table[command].words;

	if (runs_program((enum command_id)command))
		return A_PROGRAM;
	if (strstr(words, "FILE"))
		return A_TRACE;
	if (strstr(words, "COMMAND"))
		return A_COMMAND;
	if (strstr(words, "PYTHON"))
		return A_PYTHON;
	return *words && *words != '-' && strchr(words, '|') ? A_WORD : NOTHING;
}

static void command_names(FILE *out)
{
	for (int c = 0; c < COMMAND_COUNT; c++)
		fprintf(out, "%s%s", c ? " " : "", command_table[c].name);
}

/* bash */

static void bash_values(int command, FILE *out)
{
	for (int i = 0; i < OPT_COUNT; i++) {
		const struct option_row *row = &option_table[i];
		char *values;
		if (!takes(command, i) || !row->argument)
			continue;
		fputs("\t\t", out);
		if (row->letter)
			fprintf(out, "-%c | ", row->letter);
		fprintf(out, "--%s) ", row->name);
		values = values_of(command, i);
		if (is_card(i))
			fputs("values=$(_tidemark_cards)", out);
		else if (is_file(row))
			fputs("values=@files", out);
		else
			fprintf(out, "values='%s'", *values ? values : "@none");
		fputs(" ;;\n", out);
		free(values);
	}
}

static void bash_command(int command, FILE *out)
{
	static const char *const operands[] = {
	        [NOTHING] = "@none",       [A_TRACE] = "@files",
	        [A_PROGRAM] = "@programs", [A_COMMAND] = NULL,
	        [A_PYTHON] = "@programs",  [A_WORD] = NULL,
	};
	enum operand operand = operand_of(command);

	fprintf(out, "\t%s)\n\t\toptions='", command_table[command].name);
	for (int i = 0, any = 0; i < OPT_COUNT; i++)
		if (takes(command, i))
			fprintf(out, "%s--%s", any++ ? " " : "", option_table[i].name);
	fputs("'\n\t\twords='", out);
	if (operand == A_COMMAND) {
		command_names(out);
		fputs(" environment", out);
	} else if (operand == A_WORD) {
		char *words = words_of(command_table[command].words);
		fputs(words, out);
		free(words);
	} else {
		fputs(operands[operand], out);
	}
	fputs("'\n\t\tcase $option in\n", out);
	bash_values(command, out);
	fputs("\t\tesac ;;\n", out);
}

static const char bash_helpers[] =
        "# bash completion for tidemark\n"
        "_tidemark_cards()\n{\n"
        "\t\"${COMP_WORDS[0]}\" plan --gpu list 2>/dev/null | awk 'NR > 1 { print $1 "
        "}'\n}\n"
        "\n"
        "# The words of a list; with commas between them, the one behind the last.\n"
        "_tidemark_words()\n{\n"
        "\tlocal before=\n"
        "\tcase $2 in *,*) before=${2%,*}, ;; esac\n"
        "\tcase $1 in\n"
        "\t@none) COMPREPLY=() ;;\n"
        "\t@files) COMPREPLY=($(compgen -f -- \"$2\")) ;;\n"
        "\t@programs) COMPREPLY=($(compgen -c -f -- \"$2\")) ;;\n"
        "\t*) COMPREPLY=($(compgen -P \"$before\" -W \"$1\" -- \"${2##*,}\")) ;;\n"
        "\tesac\n}\n"
        "\n"
        "# What follows '--' is a command line of its own.\n"
        "_tidemark_program()\n{\n"
        "\tif declare -F _command_offset >/dev/null; then\n"
        "\t\t_command_offset \"$1\"\n"
        "\telif [ \"$COMP_CWORD\" -eq \"$1\" ]; then\n"
        "\t\t_tidemark_words @programs \"${COMP_WORDS[COMP_CWORD]}\"\n"
        "\telse\n"
        "\t\t_tidemark_words @files \"${COMP_WORDS[COMP_CWORD]}\"\n"
        "\tfi\n}\n"
        "\n";

static const char bash_head[] =
        "_tidemark()\n{\n"
        "\tlocal word=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD-1]}\n"
        "\tlocal options= words=@files values= i\n"
        "\t# bash makes a word of the '=' in --option=value\n"
        "\tif [ \"$word\" = = ]; then\n"
        "\t\tword=\n"
        "\telif [ \"$option\" = = ] && [ \"$COMP_CWORD\" -ge 2 ]; then\n"
        "\t\toption=${COMP_WORDS[COMP_CWORD-2]}\n"
        "\tfi\n"
        "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
        "\t\tCOMPREPLY=($(compgen -W '";

static const char bash_program[] = "\t\tfor ((i = 2; i < COMP_CWORD; i++)); do\n"
                                   "\t\t\tif [ \"${COMP_WORDS[i]}\" = -- ]; then\n"
                                   "\t\t\t\t_tidemark_program $((i + 1))\n"
                                   "\t\t\t\treturn\n"
                                   "\t\t\tfi\n"
                                   "\t\tdone ;;\n"
                                   "\tesac\n"
                                   "\tcase ${COMP_WORDS[1]} in\n";

static const char bash_tail[] =
        "\tesac\n"
        "\tif [ -n \"$values\" ]; then\n"
        "\t\t_tidemark_words \"$values\" \"$word\"\n"
        "\t\treturn\n\tfi\n"
        "\tcase $word in\n"
        "\t-*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
        "\t*) _tidemark_words \"$words\" \"$word\" ;;\n"
        "\tesac\n}\n"
        "complete -o filenames -F _tidemark tidemark\n";

void help_bash(FILE *out)
{
	fputs(bash_helpers, out);
	fputs(bash_head, out);
	command_names(out);
	fputs(" --help --version' -- \"$word\") $(compgen -f -X '!*.db' -- "
	      "\"$word\"))\n"
	      "\t\treturn\n\tfi\n"
	      "\tcase ${COMP_WORDS[1]} in\n\t",
	      out);
	for (int c = 0, any = 0; c < COMMAND_COUNT; c++)
		if (runs_program((enum command_id)c))
			fprintf(out, "%s%s", any++ ? " | " : "", command_table[c].name);
	fputs(")\n", out);
	fputs(bash_program, out);
	for (int c = 0; c < COMMAND_COUNT; c++)
		bash_command(c, out);
	fputs(bash_tail, out);
}

/* zsh */

/* Inside _arguments' brackets and between our single quotes. */
static void zsh_text(const char *text, FILE *out)
{
	for (; *text; text++) {
		if (strchr("[]:", *text))
			fputc('\\', out);
		if (*text == '\'')
			fputs("'\\''", out);
		else
			fputc(*text, out);
	}
}

static void zsh_action(int command, int option, FILE *out)
{
	const struct option_row *row = &option_table[option];
	char *values = values_of(command, option);
	bool list = option == OPT_BY || option == OPT_LORA_TARGETS;

	if (is_card(option))
		fputs("_tidemark_cards", out);
	else if (is_file(row))
		fputs("_files", out);
	else if (*values && list)
		fprintf(out, "_values -s , key %s", values);
	else if (*values) {
		fputc('(', out);
		for (const char *at = values; *at; at++)
			fprintf(out, "%s%c", *at == ':' ? "\\" : "", *at);
		fputc(')', out);
	} else
		fputc(' ', out);
	free(values);
}

static void zsh_option(int command, int option, bool letter, FILE *out)
{
	const struct option_row *row = &option_table[option];

	if (letter)
		fprintf(out, " \\\n\t\t'-%c%s[", row->letter, row->argument ? "+" : "");
	else
		fprintf(out, " \\\n\t\t'--%s%s[", row->name, row->argument ? "=" : "");
	zsh_text(row->help, out);
	fputc(']', out);
	if (row->argument) {
		fputc(':', out);
		zsh_text(row->argument, out);
		fputc(':', out);
		zsh_action(command, option, out);
	}
	fputc('\'', out);
}

static void zsh_operand(int command, FILE *out)
{
	char *words;

	switch (operand_of(command)) {
	case NOTHING:
		break;
	case A_TRACE:
		fputs(" \\\n\t\t'*:trace:_files -g \"*.db\"'", out);
		break;
	case A_PROGRAM:
		fputs(" \\\n\t\t'*::program:_normal'", out);
		break;
	case A_COMMAND:
		fputs(" \\\n\t\t'1:command:(", out);
		command_names(out);
		fputs(" environment)'", out);
		break;
	case A_PYTHON:
		fputs(" \\\n\t\t'1:Python:_command_names -e'", out);
		break;
	case A_WORD:
		words = words_of(command_table[command].words);
		fprintf(out, " \\\n\t\t'1:word:(%s)'", words);
		free(words);
	}
	fputs("\n\t;;\n", out);
}

static const char zsh_head[] = "#compdef tidemark\n"
                               "_tidemark_cards() {\n"
                               "\tlocal -a cards\n"
                               "\tcards=(${(f)\"$(tidemark plan --gpu list 2>/dev/null "
                               "| awk 'NR > 1 { print $1 "
                               "}')\"})\n"
                               "\t_values -s , card $cards\n"
                               "}\n"
                               "local -a tidemark_commands\n"
                               "tidemark_commands=(\n";

/* `command` is a word of zsh's own: a variable of that name would break what _normal calls. */
static const char zsh_dispatch[] =
        ")\n"
        "if (( CURRENT == 2 )); then\n"
        "\t_describe command tidemark_commands\n"
        "\t_files -g '*.db'\n"
        "\treturn\nfi\n"
        "local tidemark_command=$words[2]\n"
        "shift words; (( CURRENT-- ))\n"
        "# What follows '--' is a command line of its own.\n"
        "local tidemark_end=${words[(i)--]}\n"
        "if [[ $tidemark_command == (run|simulate) ]] && (( tidemark_end < CURRENT )); "
        "then\n"
        "\tshift $tidemark_end words; (( CURRENT -= tidemark_end ))\n"
        "\t_normal\n"
        "\treturn\nfi\n"
        "case $tidemark_command in\n";

void help_zsh(FILE *out)
{
	fputs(zsh_head, out);
	for (int c = 0; c < COMMAND_COUNT; c++) {
		fprintf(out, "\t'%s:", command_table[c].name);
		zsh_text(command_table[c].summary, out);
		fputs("'\n", out);
	}
	fputs(zsh_dispatch, out);
	for (int c = 0; c < COMMAND_COUNT; c++) {
		fprintf(out, "%s)\n\t_arguments -s", command_table[c].name);
		for (int i = 0; i < OPT_COUNT; i++) {
			if (!takes(c, i))
				continue;
			zsh_option(c, i, false, out);
			if (option_table[i].letter)
				zsh_option(c, i, true, out);
		}
		zsh_operand(c, out);
	}
	fputs("esac\n", out);
}
