/* stack.c - where a block was made, frame by frame.
 * Called from: advice/, answers/, commands/, page/, reconcile/, run/, trace/. */
#include "stack.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "trace_queries.h"

/* Past the bracket that closes the one at `at`; NULL where none does. */
static const char *behind(const char *at)
{
	int depth = 0;

	for (const char *from = at; *at; at++) {
		if (strchr("(<", *at))
			depth++;
		else if (*at == ')' || (*at == '>' && at > from && at[-1] != '-'))
			depth--;
		if (!depth)
			return at + 1;
	}
	return NULL;
}

static bool ends_with(const char *text, const char *end, const char *word)
{
	size_t length = strlen(word);

	return (size_t)(end - text) >= length && !memcmp(end - length, word, length);
}

/* What stands before the name: "void", "at::Tensor", "non-virtual thunk to". */
static const char *without_type(const char *name)
{
	const char *from = name, *operator= strstr(name, "operator ");

	for (const char *at = name; *at && at != operator; at++)
		if (*at == ' ' && !ends_with(name, at, "(anonymous"))
			from = at + 1;
	return from;
}

char *function_name(const char *demangled)
{
	static const char nameless[] = "(anonymous namespace)";
	const char *at = demangled;
	char *name, *to, *result;

	if (!demangled || !strpbrk(demangled, "(<"))
		return copy_text(demangled);
	name = to = copy_text(demangled);
	while (*at) {
		bool operator= ends_with(name, to, "operator") ||
		        ends_with(name, to, "operator<");
		const char *next;
		if (!strncmp(at, nameless, sizeof(nameless) - 1)) {
			to = stpcpy(to, nameless);
			at += sizeof(nameless) - 1;
		} else if (operator&&(*at == '<' || !strncmp(at, "()", 2))) {
			*to++ = *at++;
			if (to[-1] == '(')
				*to++ = *at++;
		} else if (*at == '(' || *at == '<') {
			next = behind(at);
			at = next ? next : at + strlen(at);
		} else if (!strncmp(at, " const", 6) && !strchr("&*", at[6])) {
			at += 6; /* also where the name ends */
		} else if (!strncmp(at, " [clone", 7)) {
			break;
		} else {
			*to++ = *at++;
		}
	}
	*to = 0;
	result = copy_text(*without_type(name) ? without_type(name) : demangled);
	free(name);
	return result;
}

struct frame *stack_frames(struct trace *trace, int64_t stack, size_t *count)
{
	struct frame *frames = NULL;
	size_t room = 0;
	struct rows *rows = db_rows(trace->db, sql_stack, "i", stack);

	*count = 0;
	while (rows_next(rows)) {
		struct frame frame = {.kind = rows_copy(rows, 0),
		                      .function = rows_copy(rows, 1),
		                      .file = rows_copy(rows, 2),
		                      .line = rows_number_or(rows, 3, -1)};
		if (frame.line < 0 && frame.function) {
			char *whole = frame.function;
			frame.function = function_name(whole);
			free(whole);
		}
		frames = grow(frames, *count, &room, sizeof(*frames));
		frames[(*count)++] = frame;
	}
	return frames;
}

void frames_free(struct frame *frames, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(frames[i].kind);
		free(frames[i].function);
		free(frames[i].file);
	}
	free(frames);
}

/* The place of a frame in the list "frames". */
static int64_t said_at(struct said *said, int64_t frame)
{
	if (frame < 0)
		frame = 0;
	if ((size_t)frame >= said->places) {
		size_t before = said->places;
		said->places = 2 * ((size_t)frame + 1);
		said->place = resize(said->place, said->places * sizeof(*said->place));
		memset(said->place + before, 0,
		       (said->places - before) * sizeof(*said->place));
	}
	if (!said->place[frame]) {
		said->frames = grow(said->frames, said->count, &said->room,
		                    sizeof(*said->frames));
		said->frames[said->count++] = frame;
		said->place[frame] = (int64_t)said->count;
	}
	return said->place[frame] - 1;
}

void stack_json(struct trace *trace, struct json *json, const char *key, int64_t stack)
{
	int64_t *numbers = NULL;
	size_t count = 0, room = 0;
	struct rows *rows =
	        stack >= 0 ? db_rows(trace->db, sql_stack, "i", stack) : NULL;

	while (rows && rows_next(rows)) {
		numbers = grow(numbers, count, &room, sizeof(*numbers));
		numbers[count++] = said_at(&trace->said, rows_number(rows, 4));
	}
	json_number_list(json, key, numbers, count);
	free(numbers);
}

static void frame_json(struct trace *trace, struct json *json, int64_t frame)
{
	struct rows *rows = db_rows(
	        trace->db, "SELECT kind, function, file, line FROM frame WHERE id = ?",
	        "i", frame);
	bool known = rows_next(rows);
	int64_t line = known ? rows_number_or(rows, 3, -1) : -1;
	char *function = known && line < 0    ? function_name(rows_text(rows, 1))
	                 : known && line >= 0 ? rows_copy(rows, 1)
	                                      : NULL;

	json_object(json, NULL);
	json_text(json, "function", function);
	json_text(json, "file", known ? rows_text(rows, 2) : NULL);
	json_known(json, "line", line);
	json_text(json, "kind", known ? rows_text(rows, 0) : NULL);
	json_end(json);
	free(function);
	if (known)
		rows_free(rows);
}

void frames_json(struct trace *trace, struct json *json)
{
	json_array(json, "frames");
	for (size_t i = 0; i < trace->said.count; i++)
		frame_json(trace, json, trace->said.frames[i]);
	json_end(json);
}
