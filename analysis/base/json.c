/* json.c - writes one JSON document as it goes; knows how deep it is.
 * Called from: advice/, answers/, commands/, compare/, export/, job/, live/, page/,
 *     plan/, run/, trace/. */
#include "json.h"

#include <inttypes.h>
#include <stdlib.h>

#include "utf8.h"

static void write_text(FILE *out, const char *text);

/* In every build: a document that is not JSON, or a write past the levels, is worse than
 * none. */
static void require(bool fits)
{
	if (fits)
		return;
	fputs("tidemark: error: internal: this answer does not fit into JSON\n",
	      stderr);
	abort();
}

static void start(struct json *json, const char *key)
{
	int depth = json->depth;

	if (depth) {
		require(json->level[depth - 1].array == !key);
		fputs(json->level[depth - 1].filled ? ",\n" : "\n", json->out);
		json->level[depth - 1].filled = true;
	}
	fprintf(json->out, "%*s", 2 * depth, "");
	if (key) {
		write_text(json->out, key);
		fputs(": ", json->out);
	}
}

static void open_level(struct json *json, const char *key, bool array)
{
	start(json, key);
	require(json->depth < JSON_DEPTH);
	json->level[json->depth].array = array;
	json->level[json->depth].filled = false;
	json->depth++;
	fputc(array ? '[' : '{', json->out);
}

void json_begin(struct json *json, FILE *out)
{
	json->out = out;
	json->depth = 0;
	open_level(json, NULL, false);
}

void json_object(struct json *json, const char *key)
{
	open_level(json, key, false);
}

void json_array(struct json *json, const char *key)
{
	open_level(json, key, true);
}

void json_end(struct json *json)
{
	require(json->depth > 0);
	json->depth--;
	if (json->level[json->depth].filled)
		fprintf(json->out, "\n%*s", 2 * json->depth, "");
	fputc(json->level[json->depth].array ? ']' : '}', json->out);
	if (!json->depth)
		fputc('\n', json->out);
}

void json_number(struct json *json, const char *key, int64_t number)
{
	start(json, key);
	fprintf(json->out, "%" PRId64, number);
}

void json_known(struct json *json, const char *key, int64_t number)
{
	if (number < 0)
		json_null(json, key);
	else
		json_number(json, key, number);
}

void json_number_list(struct json *json, const char *key, const int64_t *numbers,
                      size_t count)
{
	start(json, key);
	fputc('[', json->out);
	for (size_t i = 0; i < count; i++)
		fprintf(json->out, "%s%" PRId64, i ? ", " : "", numbers[i]);
	fputc(']', json->out);
}

void json_seconds(struct json *json, const char *key, int64_t milliseconds)
{
	start(json, key);
	fprintf(json->out, "%" PRId64 ".%03d", milliseconds / 1000,
	        (int)(milliseconds % 1000));
}

void json_truth(struct json *json, const char *key, bool truth)
{
	start(json, key);
	fputs(truth ? "true" : "false", json->out);
}

void json_null(struct json *json, const char *key)
{
	start(json, key);
	fputs("null", json->out);
}

void json_text(struct json *json, const char *key, const char *text)
{
	if (!text) {
		json_null(json, key);
		return;
	}
	start(json, key);
	write_text(json->out, text);
}

static void write_text(FILE *out, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	fputc('"', out);
	while (*s) {
		int length = utf8_sequence(s);
		if (!length) {
			fputs("\\ufffd", out);
			s++;
			continue;
		}
		if (*s == '"' || *s == '\\')
			fprintf(out, "\\%c", *s);
		else if (*s == '\n')
			fputs("\\n", out);
		else if (*s == '\t')
			fputs("\\t", out);
		else if (*s < 0x20 || *s == 0x7f)
			fprintf(out, "\\u%04x", *s);
		else
			fwrite(s, 1, (size_t)length, out);
		s += length;
	}
	fputc('"', out);
}
