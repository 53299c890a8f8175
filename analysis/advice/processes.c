/* processes.c - reading "Process 4711 has 3.00 GiB memory in use."
 * Called from: oom.c. */
#include "processes.h"
#include "whole.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -1 if it is no unit of PyTorch's format_size. */
static int64_t unit_of(const char *text)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB"};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(text, units[i]))
			return (int64_t)1 << 10 * i;
	return -1;
}

/* Who "has", by the words before: a number, -1 for the traced process, -2 for neither. */
static int64_t who(const char *message, const char *has)
{
	static const char here[] = "this process", other[] = "Process ";
	const char *from = has;

	while (from > message && isdigit((unsigned char)from[-1]))
		from--;
	if (from < has && from - has >= -10 && from - message >= (long)strlen(other) &&
	    !strncmp(from - strlen(other), other, strlen(other)))
		return strtoll(from, NULL, 10);
	return has - message >= (long)strlen(here) &&
	                       !strncmp(has - strlen(here), here, strlen(here))
	               ? -1
	               : -2;
}

struct processes processes_named(const char *message)
{
	struct processes found = {.others = -1};
	int64_t others = 0;
	const char *at = message;

	while (at && found.count < PROCESSES_MOST && (at = strstr(at, " has "))) {
		double number = -1;
		char unit[8] = "";
		int end = 0;
		int64_t pid = who(message, at);
		sscanf(at, " has %15lf %7[A-Za-z] memory in use.%n", &number, unit,
		       &end);
		at += strlen(" has ");
		if (pid < -1 || !end || !(number >= 0) || unit_of(unit) < 0)
			continue;
		struct process process = {
		        pid, whole_of(number * (double)unit_of(unit) + 0.5)};
		found.of[found.count++] = process;
		found.here = found.here || pid < 0;
		others += pid < 0 ? 0 : process.bytes;
	}
	if (found.here)
		found.others = others;
	return found;
}
