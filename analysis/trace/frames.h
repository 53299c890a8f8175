/* frames.h - which line of a stack is the user's own. */
#ifndef TIDEMARK_ANALYSIS_FRAMES_H
#define TIDEMARK_ANALYSIS_FRAMES_H

#include "site.h"

/* A line of Python; file NULL: none is known. The texts are the caller's. */
struct line {
	char *file, *function;
	int64_t number;
};

/* The innermost line of a stack that is neither PyTorch's nor another library's; the
 * innermost of all where every one is. stack -1 gives none. */
struct line line_of(struct trace *trace, int64_t stack);

/* The line that calls the outermost module of a stack (torch.nn.Module._call_impl); line_of where
 * no module is called. */
struct line line_calling(struct trace *trace, int64_t stack);

/* The line whose forward a backward belongs to: that of the one place in the same module's forward
 * that made the operator, or of all places of that module where they share it. None where the
 * trace does not tell. */
struct line line_forward(struct trace *trace, const struct places *places,
                         const struct site *site);

/* The innermost line that two stacks share outside libraries: who called both. */
struct line line_common(struct trace *trace, int64_t one, int64_t other);

/* "model.py:16 < train.py:10": the user's lines, innermost first, at most `most`; the
 * caller's, "" where none is known. */
char *line_chain(struct trace *trace, int64_t stack, int most);

bool line_same(const struct line *a, const struct line *b);
void line_free(struct line *line);

/* "train.py" of "/home/me/train.py"; "?" of NULL. */
const char *file_name(const char *path);

/* "train.py:30", short enough for a sentence; the caller's. A sign where none is known. */
char *line_text(const struct line *line);
void line_json(struct json *json, const char *key, const struct line *line);

#endif
