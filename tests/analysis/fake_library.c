/* fake_library.c - stands in for libtidemark.so in tests of the command.
 * Recovering means: take the file TRACE.finished, as TIDEMARK_FAKE says. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int tidemark_recover(const char *trace, const char *into, char *message,
                     size_t message_size);

static int copy(const char *from, const char *to)
{
	char bytes[65536];
	size_t got;
	FILE *in = fopen(from, "r"), *out = fopen(to, "w");

	if (!in || !out)
		return -1;
	while ((got = fread(bytes, 1, sizeof(bytes), in)) > 0)
		fwrite(bytes, 1, got, out);
	fclose(in);
	return fclose(out);
}

int tidemark_recover(const char *trace, const char *into, char *message,
                     size_t message_size)
{
	const char *mode = getenv("TIDEMARK_FAKE");
	char finished[4096];

	snprintf(finished, sizeof(finished), "%s.finished", trace);
	mode = mode ? mode : "";
	if (!getenv("TIDEMARK_OFF"))
		return -2; /* it would trace the command itself */
	if (!strcmp(mode, "crash")) {
		signal(SIGSEGV, SIG_DFL); /* no report of a sanitizer in the command */
		raise(SIGSEGV);
	}
	if (!strcmp(mode, "running") && !into)
		return 2;
	if (!strcmp(mode, "fail")) {
		snprintf(message, message_size, "the ring is torn");
		return -1;
	}
	return copy(finished, into ? into : trace);
}
