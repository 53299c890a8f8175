/* heap.c - memory or the end: a command that can't get any has no answer to give.
 * Called from: advice/, answers/, base/, commands/, compare/, export/, formula/,
 *     import/, job/, live/, measure/, options/, page/, plan/, reconcile/, run/,
 *     terminal/, trace/, walk/, whatif/. */
#include "heap.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"

void out_of_memory(void)
{
	fail(STATUS_UNREADABLE, "out of memory");
}

void *allocate(size_t bytes)
{
	void *memory = calloc(1, bytes ? bytes : 1);
	if (!memory)
		out_of_memory();
	return memory;
}

void *resize(void *old, size_t bytes)
{
	void *memory = realloc(old, bytes ? bytes : 1);
	if (!memory)
		out_of_memory();
	return memory;
}

char *copy_text(const char *text)
{
	char *copy = text ? strdup(text) : NULL;
	if (text && !copy)
		out_of_memory();
	return copy;
}

char *format_list(const char *format, va_list arguments)
{
	char *text;

	if (vasprintf(&text, format, arguments) < 0)
		out_of_memory();
	return text;
}

char *format_text(const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	text = format_list(format, arguments);
	va_end(arguments);
	return text;
}

void *grow(void *array, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return array;
	*room = *room ? 2 * *room : 64;
	return resize(array, *room * size);
}
