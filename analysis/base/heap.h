/* heap.h - memory or the end: a command that can't get any has no answer to give. */
#ifndef TIDEMARK_ANALYSIS_HEAP_H
#define TIDEMARK_ANALYSIS_HEAP_H

#include <stdarg.h>
#include <stddef.h>

void out_of_memory(void) __attribute__((noreturn));
void *allocate(size_t bytes); /* zeroed */
void *resize(void *old, size_t bytes);
char *copy_text(const char *text); /* NULL gives NULL */
char *format_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *format_list(const char *format, va_list arguments)
        __attribute__((format(printf, 1, 0)));

/* Makes room for one more of an array that grows by doubling. */
void *grow(void *array, size_t count, size_t *room, size_t size);

#endif
