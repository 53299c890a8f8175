/* stack.h - where a block was made, frame by frame. */
#ifndef TIDEMARK_ANALYSIS_STACK_H
#define TIDEMARK_ANALYSIS_STACK_H

#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include "trace.h"

/* A stack, innermost frame first. A native function's name is without its arguments. */
struct frame {
	char *kind, *function, *file;
	int64_t line; /* -1: a native frame */
};
struct frame *stack_frames(struct trace *trace, int64_t stack, size_t *count);
void frames_free(struct frame *frames, size_t count);

/* "at::native::add" of "at::Tensor at::native::add<float>(at::Tensor const&) const"; the caller's.
 * A name that is no C++ function stays as it is. */
char *function_name(const char *demangled);

/* A stack as a list of numbers: places in the list "frames", which frames_json() writes behind
 * the last stack of the document. So each frame is said once. */
void stack_json(struct trace *trace, struct json *json, const char *key, int64_t stack);
void frames_json(struct trace *trace, struct json *json);

#endif
