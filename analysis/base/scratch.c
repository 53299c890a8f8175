/* scratch.c - temporary files that are gone when the command ends.
 * Called from: measure/, page/, run/, trace/. */
#include "scratch.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "heap.h"

static char *folder;
static pid_t owner; /* a forked child's exit must not remove the parent's files */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	remove(path);
	return 0;
}

/* What was started from here may have made folders in it. */
static void clean(void)
{
	if (folder && getpid() == owner)
		nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

char *scratch_file(const char *name)
{
	const char *place = getenv("TMPDIR");

	if (!folder) {
		char *made = format_text("%s/tidemark-XXXXXX",
		                         place && *place ? place : "/tmp");
		if (!mkdtemp(made)) {
			free(made);
			return NULL;
		}
		folder = made;
		owner = getpid();
		atexit(clean);
	}
	return format_text("%s/%s", folder, name);
}

char *scratch_path(void)
{
	return scratch_file("trace.db");
}

static int copy_file(const char *from, const char *to)
{
	struct stat st;
	int rc = -1, in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (in >= 0 && out >= 0 && !fstat(in, &st)) {
		off_t left = st.st_size;
		while (left > 0) {
			ssize_t sent = sendfile(out, in, NULL, (size_t)left);
			if (sent <= 0)
				break;
			left -= sent;
		}
		rc = left ? -1 : 0;
	}
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return rc;
}

char *scratch_copy(const char *trace)
{
	char *copy = scratch_path(), *log, *log_copy;

	if (!copy)
		return NULL;
	log = format_text("%s-wal", trace);
	log_copy = format_text("%s-wal", copy);
	if (copy_file(trace, copy) || copy_file(log, log_copy)) {
		free(copy);
		copy = NULL;
	}
	free(log);
	free(log_copy);
	return copy;
}
