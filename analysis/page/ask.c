/* ask.c - what the other commands answer about a trace, for the page: their own JSON.
 *
 * Each is this program once more, so that the page says what the command says, and an answer
 * that ends with a sentence does not end the page.
 * Called from: page.c. */
#include "ask.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "child.h"
#include "heap.h"
#include "json.h"
#include "scratch.h"

/* An answer that is longer says too much for a page: a browser reads it at once. One that takes
 * longer than that many seconds is for who asks for it. */
enum { LONGEST = 24 << 20, PATIENCE = 120 };

static const char *const commands[] = {"report",        "peak",      "oom", "leaks",
                                       "fragmentation", "reconcile", NULL};
const char *const *const ask_commands = commands;

void ask_inside(const char *json, FILE *out)
{
	bool quoted = false;

	for (; *json; json++) {
		if (!quoted && strchr(" \n\t\r", *json))
			continue;
		if (*json == '<')
			fputs("\\u003c", out);
		else
			fputc(*json, out);
		if (*json == '\\' && json[1])
			fputc(*++json, out);
		else if (*json == '"')
			quoted = !quoted;
	}
}

static void refuse(const char *why, FILE *out)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);
	struct json json;

	json_begin(&json, file);
	json_text(&json, "error", why);
	json_end(&json);
	fclose(file);
	ask_inside(text, out);
	free(text);
}

/* The last line of what it said on stderr, without the command's name; the caller's. */
static char *sentence(const char *errors)
{
	static const char name[] = "tidemark: ";
	char *text = child_text(errors), *line, *end;

	if (!text)
		return copy_text("it gave no answer");
	end = text + strlen(text);
	while (end > text && end[-1] == '\n')
		*--end = 0;
	line = strrchr(text, '\n') ? strrchr(text, '\n') + 1 : text;
	if (!strncmp(line, name, strlen(name)))
		line += strlen(name);
	if (!strncmp(line, "error: ", 7))
		line += 7;
	line = copy_text(*line ? line : "it gave no answer");
	free(text);
	return line;
}

void ask(const char *command, const char *path, const char *device, const char *rows,
         FILE *out)
{
	const char *words[10] = {"tidemark", command, "--json", "--quiet", path};
	char *answer_file = scratch_file("answer.json"), *answer, *why;
	char *error_file = scratch_file("answer.err");
	char *doing = format_text("reading it for the page: %s", command);
	size_t count = 5;
	int status = 0;

	if (rows && (!strcmp(command, "peak") || !strcmp(command, "oom"))) {
		words[count++] = "--top";
		words[count++] = rows;
	}
	if (device) {
		words[count++] = "--device";
		words[count++] = device;
	}
	words[count] = NULL;
	struct child child = {.words = words,
	                      .log = answer_file,
	                      .errors = error_file,
	                      .doing = doing,
	                      .limit = PATIENCE};
	bool ended = child_run(&child, &status);
	answer = child_text(answer_file);
	if (!ended) {
		refuse("it took longer than two minutes; the command itself gives it",
		       out);
	} else if (!answer || *answer != '{' || !WIFEXITED(status)) {
		why = sentence(error_file);
		refuse(why, out);
		free(why);
	} else if (strlen(answer) > LONGEST) {
		refuse("the answer is too long for a page; the command itself gives it",
		       out);
	} else {
		ask_inside(answer, out);
	}
	free(answer);
	free(answer_file);
	free(error_file);
	free(doing);
}
