/* screen.c - stdout of an answer, collected first: an error halfway leaves no half.
 * Called from: commands/, run/. */
#include "screen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "heap.h"

static char *text;
static size_t length;

FILE *screen_open(void)
{
	FILE *out = open_memstream(&text, &length);
	if (!out)
		out_of_memory();
	return out;
}

int screen_close(FILE *out)
{
	fclose(out);
	fwrite(text, 1, length, stdout);
	free(text);
	return screen_flush();
}

int screen_flush(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return STATUS_DONE;
	if (errno == EPIPE)
		return STATUS_DONE;
	warn("cannot write the answer: %s", strerror(errno));
	return STATUS_NO;
}
