/* test_json.c - the JSON emitter. */
#include "json.h"
#include "../test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void name_in_array(struct json *json)
{
	json_array(json, "list");
	json_number(json, "name", 1);
}

static void no_name_in_object(struct json *json)
{
	json_number(json, NULL, 1);
}

static void endless(struct json *json)
{
	for (;;)
		json_object(json, "deeper");
}

static void one_end_too_many(struct json *json)
{
	json_end(json);
	json_end(json);
}

TEST("what would not be JSON, or too deep, ends the command in every build")
{
	static void (*const wrong[])(struct json *) = {name_in_array, no_name_in_object,
	                                               endless, one_end_too_many};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		pid_t child = fork();
		if (!child) {
			struct json json;
			fclose(stderr);
			begin(&json);
			wrong[i](&json);
			_exit(0);
		}
		int status = 0;
		CHECK(waitpid(child, &status, 0) == child);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
}
