/* frames.c - which line of a stack is the user's own.
 * Called from: advice/, answers/, commands/, compare/, job/, page/, run/. */
#include "frames.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "term.h"

static bool is_library(const struct frame *frame)
{
	static const char *const marks[] = {
#define LIBRARY(part) part,
#include "libraries.def"
#undef LIBRARY
	};
	const char *file = frame->file ? frame->file : "";

	if (frame->line < 0 || *file == '<')
		return true;
	for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++)
		if (strstr(file, marks[i]))
			return true;
	return false;
}

static struct line take(const struct frame *frame)
{
	return (struct line){.file = copy_text(frame->file),
	                     .function = copy_text(frame->function),
	                     .number = frame->line};
}

struct line line_of(struct trace *trace, int64_t stack)
{
	struct line line = {0};
	struct frame *frames;
	size_t count;

	if (stack < 0)
		return line;
	frames = stack_frames(trace, stack, &count);
	for (size_t i = 0; i < count && !line.file; i++)
		if (!is_library(&frames[i]))
			line = take(&frames[i]);
	for (size_t i = 0; i < count && !line.file; i++)
		if (frames[i].line >= 0)
			line = take(&frames[i]);
	frames_free(frames, count);
	return line;
}

struct line line_calling(struct trace *trace, int64_t stack)
{
	struct line line = {0};
	struct frame *frames;
	size_t count, outside = 0;

	if (stack < 0)
		return line;
	frames = stack_frames(trace, stack, &count);
	for (size_t i = 0; i < count; i++) /* innermost first */
		if (frames[i].function && strstr(frames[i].function, "_call_impl"))
			outside = i + 1;
	if (outside && outside < count)
		line = take(&frames[outside]);
	frames_free(frames, count);
	return line.file ? line : line_of(trace, stack);
}

/* 'aten::_log_softmax_backward_data', 'LogSoftmaxBackward0' and 'aten::_log_softmax' are all
 * "logsoftmax". */
static void stem(const char *op, char *text, size_t size)
{
	size_t length = 0;
	char *end;

	op = !strncmp(op, "aten::", 6) ? op + 6 : op;
	for (; *op && length + 1 < size; op++)
		if (*op != '_')
			text[length++] = (char)tolower((unsigned char)*op);
	text[length] = 0;
	end = strstr(text, "backward");
	end = end ? end : strstr(text, "forward");
	if (end)
		*end = 0;
}

/* Does the name of a backward's operator tell which operator of the forward it is for? */
static bool same_operator(const char *backward, const char *forward)
{
	char back[64], forth[64];

	if (!backward || !forward || !strcasestr(backward, "backward"))
		return false;
	stem(backward, back, sizeof(back));
	stem(forward, forth, sizeof(forth));
	return *back && *forth && (strstr(back, forth) || strstr(forth, back));
}

/* Of the places in a module's forward, all or those of one operator: the line, if it is one. */
static struct line shared_line(struct trace *trace, const struct places *places,
                               const struct site *site, bool operator)
{
	struct line line = {0};
	int64_t last = -1;

	for (size_t i = 0; i < places->site_count; i++) {
		const struct site *other = &places->sites[i];
		struct line found;
		if (other->module_id != site->module_id || other->stack < 0 ||
		    other->stack == last || other->phase != PHASE_FORWARD ||
		    (operator&& !same_operator(site->op, other->op)))
			continue;
		found = line_of(trace, last = other->stack);
		if (!line.file) {
			line = found;
			continue;
		}
		if (!line_same(&line, &found)) {
			line_free(&found);
			line_free(&line);
			return line;
		}
		line_free(&found);
	}
	return line;
}

struct line line_forward(struct trace *trace, const struct places *places,
                         const struct site *site)
{
	struct line line = {0};

	if (!site || site->module_id < 0 || site->phase != PHASE_BACKWARD)
		return line;
	line = shared_line(trace, places, site, true);
	return line.file ? line : shared_line(trace, places, site, false);
}

static bool same_frame(const struct frame *a, const struct frame *b)
{
	return a->line == b->line && a->file && b->file && !strcmp(a->file, b->file);
}

struct line line_common(struct trace *trace, int64_t one, int64_t other)
{
	struct line line = {0};
	struct frame *a, *b;
	size_t count_a, count_b;

	if (one < 0 || other < 0)
		return line;
	if (one == other)
		return line_of(trace, one);
	a = stack_frames(trace, one, &count_a);
	b = stack_frames(trace, other, &count_b);
	for (size_t i = 1; i <= count_a && i <= count_b; i++) {
		const struct frame *frame = &a[count_a - i];
		if (!same_frame(frame, &b[count_b - i]))
			break;
		if (!is_library(frame)) {
			line_free(&line);
			line = take(frame);
		}
	}
	frames_free(a, count_a);
	frames_free(b, count_b);
	return line;
}

char *line_chain(struct trace *trace, int64_t stack, int most)
{
	char *chain = copy_text("");
	size_t count;
	struct frame *frames;
	int shown = 0;

	if (stack < 0)
		return chain;
	frames = stack_frames(trace, stack, &count);
	for (size_t i = 0; i < count && shown < most; i++) {
		const char *slash;
		char *longer;
		if (is_library(&frames[i]) || !frames[i].file)
			continue;
		slash = strrchr(frames[i].file, '/');
		longer = format_text("%s%s%s:%d", chain, shown++ ? " < " : "",
		                     slash ? slash + 1 : frames[i].file,
		                     (int)frames[i].line);
		free(chain);
		chain = longer;
	}
	frames_free(frames, count);
	return chain;
}

bool line_same(const struct line *a, const struct line *b)
{
	return a->file && b->file && a->number == b->number &&
	       !strcmp(a->file, b->file);
}

void line_free(struct line *line)
{
	free(line->file);
	free(line->function);
	*line = (struct line){0};
}

const char *file_name(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path ? path : "?";
}

char *line_text(const struct line *line)
{
	const char *slash = line->file ? strrchr(line->file, '/') : NULL;

	if (!line->file)
		return copy_text(sign(DASH));
	return format_text("%s:%d", slash ? slash + 1 : line->file, (int)line->number);
}

void line_json(struct json *json, const char *key, const struct line *line)
{
	if (!line->file) {
		json_null(json, key);
		return;
	}
	json_object(json, key);
	json_text(json, "file", line->file);
	json_number(json, "line", line->number);
	json_text(json, "function", line->function);
	json_end(json);
}
