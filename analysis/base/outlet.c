/* outlet.c - the file that an export or an import makes. It is written under another name beside
 * its place, so that what is there is whole or not there.
 * Called from: commands/export.c, commands/import.c. */
#include "outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "heap.h"

static char *unfinished; /* a partial file, for the end of the program */

static void remove_unfinished(void)
{
	if (unfinished)
		unlink(unfinished);
}

static bool is_database(const char *path)
{
	char magic[16] = "";
	FILE *file = fopen(path, "re");
	bool found = file && fread(magic, 1, 16, file) == 16 &&
	             !memcmp(magic, "SQLite format 3", 16);

	if (file)
		fclose(file);
	return found;
}

static void check(const char *path, bool force)
{
	struct stat st;

	if (stat(path, &st))
		return;
	if (S_ISDIR(st.st_mode))
		fail(STATUS_USAGE, "'%s' is a folder; name a file with -o", path);
	if (S_ISREG(st.st_mode) && is_database(path))
		fail(STATUS_USAGE,
		     "'%s' is a database, perhaps a trace, and is not replaced; "
		     "name another file with -o",
		     path);
	if (S_ISREG(st.st_mode) && !force)
		fail(STATUS_USAGE,
		     "'%s' exists already; --force replaces it, -o names "
		     "another file",
		     path);
}

void outlet_open(struct outlet *outlet, const char *path, bool force)
{
	struct stat st;
	int fd;

	*outlet = (struct outlet){.file = stdout};
	if (!strcmp(path, "-"))
		return;
	check(path, force);
	outlet->path = copy_text(path);
	if (!stat(path, &st) && !S_ISREG(st.st_mode)) { /* a device, a pipe */
		outlet->file = fopen(path, "we");
	} else {
		outlet->partial = format_text("%s.XXXXXX", path);
		fd = mkostemp(outlet->partial, O_CLOEXEC);
		outlet->file = fd < 0 ? NULL : fdopen(fd, "w+");
		unfinished = fd < 0 ? NULL : outlet->partial;
		atexit(remove_unfinished);
	}
	if (!outlet->file)
		fail(STATUS_USAGE, "cannot write '%s': %s", path, strerror(errno));
}

int64_t outlet_close(struct outlet *outlet)
{
	int64_t bytes = ftello(outlet->file);
	struct stat st;
	mode_t mask = umask(0);
	bool bad;

	umask(mask);
	if (outlet->partial)
		fchmod(fileno(outlet->file), 0666 & ~mask);
	bad = fflush(outlet->file) || ferror(outlet->file);
	if (outlet->partial && !fstat(fileno(outlet->file), &st))
		bytes = st.st_size; /* somebody else may have written it */
	if (bad && errno == EPIPE)
		exit(STATUS_DONE);
	if (!bad && outlet->path)
		bad = fclose(outlet->file);
	if (!bad && outlet->partial)
		bad = rename(outlet->partial, outlet->path);
	if (bad)
		fail(STATUS_NO, "cannot write '%s': %s",
		     outlet->path ? outlet->path : "the answer", strerror(errno));
	unfinished = NULL;
	free(outlet->partial);
	free(outlet->path);
	return bytes;
}
