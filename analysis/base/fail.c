/* fail.c - how the command ends when it can't answer.
 * Called from: answers/, base/, commands/, export/, import/, job/, live/, measure/,
 *     options/, plan/, reconcile/, run/, terminal/, trace/. */
#include "fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

bool quiet;
void (*fail_first)(void);

static void say(const char *format, va_list arguments)
{
	fputs("tidemark: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
}

void fail(enum status status, const char *format, ...)
{
	va_list arguments;
	if (fail_first)
		fail_first();
	va_start(arguments, format);
	say(format, arguments);
	va_end(arguments);
	exit(status);
}

void note(const char *format, ...)
{
	va_list arguments;
	if (quiet)
		return;
	va_start(arguments, format);
	say(format, arguments);
	va_end(arguments);
}

void warn(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	say(format, arguments);
	va_end(arguments);
}
