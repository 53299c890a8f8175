/* test_text.c - numbers as people say them, and texts that fit. */
#include "text.h"
#include "../test.h"

static char *written;
static size_t length;

static const char *fit(const char *text, int columns, enum keep keep)
{
	FILE *out;
	free(written);
	out = open_memstream(&written, &length);
	text_fit(out, text, columns, keep);
	fclose(out);
	return written;
}

static const char *bar(int64_t part, int64_t whole, int columns)
{
	FILE *out;
	free(written);
	out = open_memstream(&written, &length);
	text_bar(out, part, whole, columns);
	fclose(out);
	return written;
}

TEST("sizes change their unit at 1024, never showing 1024.00")
{
	CHECK_TEXT(text_size(0).s, "0 B");
	CHECK_TEXT(text_size(1023).s, "1023 B");
	CHECK_TEXT(text_size(1024).s, "1.00 KiB");
	CHECK_TEXT(text_size(1048575).s, "1.00 MiB");
	CHECK_TEXT(text_size(1567623680).s, "1.46 GiB");
	CHECK_TEXT(text_size(-512).s, "-512 B");
	CHECK_TEXT(text_size(INT64_MAX).s, "8192.00 PiB");
}

TEST("counts are grouped by thousands")
{
	CHECK_TEXT(text_count(0).s, "0");
	CHECK_TEXT(text_count(999).s, "999");
	CHECK_TEXT(text_count(1000).s, "1,000");
	CHECK_TEXT(text_count(-3824404).s, "-3,824,404");
	CHECK_TEXT(text_count(INT64_MIN).s, "-9,223,372,036,854,775,808");
	CHECK_TEXT(text_plural(1, "step").s, "1 step");
	CHECK_TEXT(text_plural(1200, "step").s, "1,200 steps");
}

TEST("durations are said in the unit that fits")
{
	CHECK_TEXT(text_duration(1500).s, "1.5 us");
	CHECK_TEXT(text_duration(412000000).s, "412 ms");
	CHECK_TEXT(text_duration(999700000).s, "1.0 s");
	CHECK_TEXT(text_duration(494000000000).s, "8 min 14 s");
	CHECK_TEXT(text_duration(7265000000000).s, "2 h 1 min");
}

TEST("a text that is too long keeps its telling end")
{
	CHECK_TEXT(fit("transformer.h.0.mlp", 40, KEEP_TAIL), "transformer.h.0.mlp");
	CHECK_TEXT(fit("transformer.h.0.mlp", 9, KEEP_TAIL), "..h.0.mlp");
	CHECK_TEXT(fit("the card is full", 10, KEEP_HEAD), "the card..");
	CHECK_TEXT(fit("a\033[31m\nb", 20, KEEP_HEAD), "a?[31m?b");
	CHECK_TEXT(fit("abc", 1, KEEP_TAIL), "a");
}

TEST("a code point takes one column, however many bytes")
{
	term.unicode = true;
	CHECK(text_width("µ×…") == 3);
	CHECK_TEXT(fit("µµµµµ", 3, KEEP_TAIL), "…µµ");
}

TEST("a bar is as long as its share, and never nothing for something")
{
	term.unicode = true;
	CHECK_TEXT(bar(1, 2, 4), "██  ");
	CHECK_TEXT(bar(1, 1000000, 4), "▏   ");
	CHECK_TEXT(bar(0, 10, 2), "  ");
	CHECK_TEXT(bar(30, 10, 2), "██");
}

TEST("a table shrinks its names until it fits the screen")
{
	struct table *table = table_new("~>");
	FILE *out = open_memstream(&written, &length);
	term.width = 40;
	table_cell(table, PLAIN, "name");
	table_cell(table, PLAIN, "size");
	table_cell(table, PLAIN, "a.very.long.dotted.name.of.a.module.in.a.model");
	table_cell(table, PLAIN, "%d B", 10001);
	table_print(table, out, 2, true);
	table_free(table);
	fclose(out);
	CHECK_TEXT(written, "  name                              size\n"
	                    "  ..name.of.a.module.in.a.model  10001 B\n");
}

TEST_MAIN
