/* test_options.c - the option table, its parser, and the texts made from it. */
#include "complete.h"
#include "help.h"
#include "nearest.h"
#include "options.h"
#include "../test.h"

static char *written;
static size_t length;

static const char *print(void (*printer)(FILE *))
{
	FILE *out;
	free(written);
	out = open_memstream(&written, &length);
	printer(out);
	fclose(out);
	return written;
}

static int parse(enum command_id command, char **argv, struct options *options,
                 char *why)
{
	int argc = 0;
	while (argv[argc])
		argc++;
	return options_parse(command, argc, argv, options, why, 256);
}
/* Static: CHECK() is a block of its own, and the words must outlive it. */
#define WORDS(...)                                                                     \
	({                                                                             \
		static const char *words[] = {__VA_ARGS__, NULL};                      \
		(char **)words;                                                        \
	})

TEST("options and files mix, in either spelling")
{
	struct options options;
	char why[256];
	CHECK(!parse(COMMAND_PEAK, WORDS("a.db", "--top=3", "-s", "12", "--json"),
	             &options, why));
	CHECK(options.count == 1);
	CHECK_TEXT(options.words[0], "a.db");
	CHECK_TEXT(options.value[OPT_TOP], "3");
	CHECK_TEXT(options.value[OPT_STEP], "12");
	CHECK_TEXT(options.value[OPT_JSON], "");
	CHECK(!options.value[OPT_DEVICE]);
}

TEST("after -- everything is a file, also what looks like an option")
{
	struct options options;
	char why[256];
	CHECK(!parse(COMMAND_REPORT, WORDS("--", "--json"), &options, why));
	CHECK(options.count == 1 && !options.value[OPT_JSON]);
	CHECK_TEXT(options.words[0], "--json");
}

TEST("run leaves the program's own options alone")
{
	struct options options;
	char why[256];
	CHECK(!parse(COMMAND_RUN, WORDS("--cpu", "python", "--cpu", "-o", "--", "x"),
	             &options, why));
	CHECK(options.count == 5 && options.value[OPT_CPU] &&
	      !options.value[OPT_OUTPUT]);
	CHECK_TEXT(options.words[3], "--");
	CHECK(!parse(COMMAND_RUN, WORDS("-o", "x.db", "--", "-c"), &options, why));
	CHECK(options.count == 1);
	CHECK_TEXT(options.words[0], "-c");
	CHECK(!options.words[1]);
}

TEST("a wrong option names the nearest right one of this command")
{
	struct options options;
	char why[256];
	CHECK(parse(COMMAND_PEAK, WORDS("--jsno"), &options, why));
	CHECK_TEXT(why, "'peak' has no option '--jsno'; did you mean '--json'?");
	CHECK(parse(COMMAND_REPORT, WORDS("--top"), &options, why));
	CHECK(strstr(why, "has no option '--top'"));
	CHECK(parse(COMMAND_PEAK, WORDS("--top"), &options, why));
	CHECK_TEXT(why, "'--top' needs a value: N");
	CHECK(parse(COMMAND_PEAK, WORDS("--json=yes"), &options, why));
	CHECK_TEXT(why, "'--json' takes no value");
	CHECK(parse(COMMAND_PEAK, WORDS("-x"), &options, why));
}

TEST("a mistyped command is recognised, another word is not")
{
	CHECK_TEXT(nearest_command("pek"), "peak");
	CHECK_TEXT(nearest_command("time"), "timeline");
	CHECK_TEXT(nearest_command("docter"), "doctor");
	CHECK(!nearest_command("banana"));
	CHECK(word_distance("kitten", "sitting") == 3);
}

/* Commands may have options of one name with a row each. */
static bool takes(int command, const char *name)
{
	for (int i = 0; i < OPT_COUNT; i++)
		if ((option_table[i].commands & (1u << command)) &&
		    !strcmp(option_table[i].name, name))
			return true;
	return false;
}

TEST("every option of the table stands in every generated text")
{
	for (int i = 0; i < OPT_COUNT; i++) {
		char name[64];
		snprintf(name, sizeof(name), "--%s", option_table[i].name);
		CHECK(strstr(print(help_bash), name));
		CHECK(strstr(print(help_zsh), name));
		for (int c = 0; c < COMMAND_COUNT; c++) {
			FILE *out;
			free(written);
			out = open_memstream(&written, &length);
			help_command((enum command_id)c, out);
			fclose(out);
			/* followed by a blank, so that --step is not found in --steps
			 */
			strcat(name, " ");
			CHECK(!strstr(written, name) ==
			      !takes(c, option_table[i].name));
			name[strlen(name) - 1] = 0;
		}
	}
}

TEST("the manual has each command once and each option once for each that takes it")
{
	const char *man = print(help_man);
	for (int c = 0; c < COMMAND_COUNT; c++) {
		char heading[64];
		snprintf(heading, sizeof(heading), ".SS \"%s ", command_table[c].name);
		CHECK(strstr(man, heading));
	}
	int wanted = 0, found = 0;
	for (int i = 0; i < OPT_COUNT; i++)
		for (int c = 0; c < COMMAND_COUNT; c++)
			wanted += i != OPT_HELP &&
			          (option_table[i].commands & (1u << c)) != 0;
	man = strstr(man, ".SH COMMANDS");
	for (const char *end = strstr(man, ".SH EXIT");
	     (man = strstr(man, ".TP\n")) && man < end; man++)
		found++;
	CHECK(wanted == found);
}

TEST("no option has two rows or one letter twice in a command")
{
	for (int i = 0; i < OPT_COUNT; i++)
		for (int j = 0; j < i; j++) {
			unsigned both =
			        option_table[i].commands & option_table[j].commands;
			CHECK(!both ||
			      strcmp(option_table[i].name, option_table[j].name) != 0);
			CHECK(!both || !option_table[i].letter ||
			      option_table[i].letter != option_table[j].letter);
		}
}

TEST_MAIN
