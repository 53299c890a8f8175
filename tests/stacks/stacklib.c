/* stacklib.c - the walkers as a plain shared library, for ctypes in an unmodified
 * interpreter. CDLL releases the GIL around each call, so the walks run without it.
 * Strings come back in buffers of the caller: fields end in 0x1f, frames in 0x1e.
 */
#include "../../hooks/pystack.h"

#include <stdio.h>
#include <string.h>

#define API __attribute__((visibility("default")))

API int stk_py_init(char *why, size_t n);
API int stk_py_capture(char *buf, size_t n, uint64_t *numbers, char *class,
                       size_t nclass);
API int stk_py_numbers(uint64_t *numbers);

int stk_py_init(char *why, size_t n)
{
	return tmk_pystack_init(why, n);
}

static void numbers_of(const struct tmk_py_stack *s, uint64_t *numbers)
{
	numbers[0] = s->hash;
	numbers[1] = s->check;
	numbers[2] = (uint64_t)s->truncated;
	numbers[3] = (uint64_t)(uintptr_t)s->module;
	numbers[4] = (uint64_t)(uintptr_t)s->module_type;
}

/* Walks once and names every frame. Returns the depth. */
int stk_py_capture(char *buf, size_t n, uint64_t *numbers, char *class, size_t nclass)
{
	struct tmk_py_stack s;
	char function[256], file[1024];
	size_t at = 0;

	tmk_pystack_walk(&s);
	numbers_of(&s, numbers);
	tmk_pystack_class(s.module, class, nclass);
	buf[0] = 0;
	for (int i = 0; i < s.depth && at < n; i++) {
		int line;
		tmk_pystack_text(&s.frame[i], function, sizeof function, file,
		                 sizeof file, &line);
		at += (size_t)snprintf(buf + at, n - at, "%s\x1f%s\x1f%d\x1e", function,
		                       file, line);
	}
	return s.depth;
}

int stk_py_numbers(uint64_t *numbers)
{
	struct tmk_py_stack s;
	tmk_pystack_walk(&s);
	numbers_of(&s, numbers);
	return s.depth;
}
