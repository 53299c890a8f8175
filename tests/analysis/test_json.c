/* test_json.c - the JSON emitter. */
#include "json.h"
#include "../test.h"

static char *text;
static size_t length;
static FILE *out;

static void begin(struct json *json)
{
	out = open_memstream(&text, &length);
	json_begin(json, out);
}

static const char *end(struct json *json)
{
	json_end(json);
	CHECK(json->depth == 0);
	fclose(out);
	return text;
}

TEST("an empty document is one object and a line end")
{
	struct json json;
	begin(&json);
	CHECK_TEXT(end(&json), "{}\n");
	free(text);
}

TEST("members are separated by commas, levels are indented")
{
	struct json json;
	begin(&json);
	json_number(&json, "a", -9007199254740993);
	json_array(&json, "b");
	json_truth(&json, NULL, true);
	json_null(&json, NULL);
	json_object(&json, NULL);
	json_end(&json);
	json_end(&json);
	CHECK_TEXT(end(&json), "{\n  \"a\": -9007199254740993,\n  \"b\": [\n    true,\n"
	                       "    null,\n    {}\n  ]\n}\n");
	free(text);
}

TEST("quotes, control characters and broken UTF-8 come out as valid JSON")
{
	struct json json;
	begin(&json);
	json_text(&json, "q\"", "a\\b\n\t\x01\x7f");
	json_text(&json, "u", "\xc3\xa9 \xff \xc3 \xed\xa0\x80");
	json_text(&json, "n", NULL);
	CHECK_TEXT(end(&json),
	           "{\n  \"q\\\"\": \"a\\\\b\\n\\t\\u0001\\u007f\",\n"
	           "  \"u\": \"\xc3\xa9 \\ufffd \\ufffd \\ufffd\\ufffd\\ufffd\",\n"
	           "  \"n\": null\n}\n");
	free(text);
}

TEST_MAIN
