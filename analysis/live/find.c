/* find.c - which trace `live` is to watch.
 *
 * A traced process has its trace open, and maps its ring: /proc says both. What its
 * environment names is not asked: the library takes another name where that file exists.
 * Called from: commands/live.c. */
#include "find.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "now.h"
#include "heap.h"
#include "schema_ids.h"

enum { SCHEMA_AT = 68 }; /* where SQLite's header has the application's number */

static bool beside(const char *path, const char *suffix)
{
	char *name = format_text("%s%s", path, suffix);
	bool there = !access(name, F_OK);
	free(name);
	return there;
}

/* Until the log is first put into it, the file of a run that goes on says nothing of itself, and
 * its ring has to. */
static bool is_trace(const char *path)
{
	unsigned char head[SCHEMA_AT + 4] = {0}, *id = head + SCHEMA_AT;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t got = fd < 0 ? -1 : pread(fd, head, sizeof(head), 0);

	if (fd >= 0)
		close(fd);
	if (got > 0 && memcmp(head, "SQLite format 3", 16) != 0)
		return false;
	if (got >= 0 && beside(path, "-ring"))
		return true;
	return got == sizeof(head) &&
	       ((unsigned)id[0] << 24 | (unsigned)id[1] << 16 | (unsigned)id[2] << 8 |
	        id[3]) == SCHEMA_APPLICATION_ID;
}

/* ---- by process ---------------------------------------------------------------------- */

static bool is_number(const char *word)
{
	for (const char *c = word; *c; c++)
		if (!isdigit((unsigned char)*c))
			return false;
	return *word && strlen(word) < 10;
}

/* A trace among the open files; NULL where there is none, or where we may not look (errno). */
static char *among_files(long pid)
{
	char *folder = format_text("/proc/%ld/fd", pid), *found = NULL;
	DIR *files = opendir(folder);
	struct dirent *file;

	errno = files ? 0 : errno;
	while (files && !found && (file = readdir(files))) {
		char target[4096], *link = format_text("%s/%s", folder, file->d_name);
		struct stat st;
		ssize_t length = readlink(link, target, sizeof(target) - 1);
		free(link);
		if (length <= 0)
			continue;
		target[length] = 0;
		if (*target == '/' && !stat(target, &st) && S_ISREG(st.st_mode) &&
		    is_trace(target))
			found = copy_text(target);
	}
	if (files)
		closedir(files);
	free(folder);
	return found;
}

/* The trace beside a ring that is mapped: for a program that has closed all its files. */
static char *among_maps(long pid)
{
	static const char suffix[] = "-ring";
	char *name = format_text("/proc/%ld/maps", pid), *line = NULL, *found = NULL;
	FILE *maps = fopen(name, "re");
	size_t room = 0;
	ssize_t length;

	while (maps && !found && (length = getline(&line, &room, maps)) > 0) {
		char *path = strchr(line, '/');
		line[length - 1] = 0;
		size_t size = path ? strlen(path) : 0;
		if (size < sizeof(suffix) ||
		    strcmp(path + size - strlen(suffix), suffix) != 0)
			continue;
		path[size - strlen(suffix)] = 0;
		if (is_trace(path))
			found = copy_text(path);
	}
	if (maps)
		fclose(maps);
	free(line);
	free(name);
	return found;
}

static long parent_of(long pid)
{
	char *name = format_text("/proc/%ld/stat", pid), text[1024] = "";
	FILE *file = fopen(name, "re");
	long parent = 0;

	if (file && fgets(text, sizeof(text), file)) {
		const char *at = strrchr(text, ')'); /* the name may hold anything */
		if (!at || sscanf(at + 1, " %*c %ld", &parent) != 1)
			parent = 0;
	}
	if (file)
		fclose(file);
	free(name);
	return parent;
}

static bool descends(long pid, long from)
{
	for (int depth = 0; pid > 1 && depth < 64; depth++) {
		pid = parent_of(pid);
		if (pid == from)
			return true;
	}
	return false;
}

/* The one traced process that a process has started: `tidemark run`, torchrun, a shell. */
static char *below(long pid, long *which)
{
	DIR *processes = opendir("/proc");
	struct dirent *entry;
	char *found = NULL;

	while (processes && (entry = readdir(processes))) {
		if (!is_number(entry->d_name))
			continue;
		long other = atol(entry->d_name);
		char *trace = descends(other, pid) ? among_files(other) : NULL;
		if (trace && found && strcmp(trace, found) != 0)
			fail(STATUS_USAGE,
			     "process %ld has started several traced processes, among "
			     "them %ld and %ld; name one",
			     pid, *which, other);
		if (trace)
			*which = other;
		if (trace && found)
			free(trace);
		else if (trace)
			found = trace;
	}
	if (processes)
		closedir(processes);
	return found;
}

static char *of_process(long pid)
{
	char *folder = format_text("/proc/%ld", pid), *found;
	long child = pid;
	int trouble;

	if (access(folder, F_OK))
		fail(STATUS_UNREADABLE,
		     "there is no process %ld, and no file of that name", pid);
	free(folder);
	found = among_files(pid);
	trouble = errno;
	if (!found)
		found = among_maps(pid);
	if (!found)
		found = below(pid, &child);
	if (!found && trouble == EACCES)
		fail(STATUS_UNREADABLE, "cannot look into process %ld: %s", pid,
		     strerror(trouble));
	if (!found)
		fail(STATUS_UNREADABLE,
		     "process %ld writes no trace that is here: it is not traced, has "
		     "not used a device yet, or its trace was moved",
		     pid);
	if (child != pid)
		note("watching process %ld, which %ld has started", child, pid);
	return found;
}

/* ---- by folder ----------------------------------------------------------------------- */

static bool lives(const char *library, const char *path)
{
	static char text[GLANCE_TEXT];
	enum glance state;

	*text = 0;
	state = library ? glance_at(library, path, text) : GLANCE_FAILED;
	return state == GLANCE_LIVES || state == GLANCE_UNKNOWN;
}

static struct timespec changed(const char *path)
{
	struct stat st = {0}, log = {0};
	char *beside = format_text("%s-wal", path);

	if (stat(path, &st))
		st.st_mtim.tv_sec = 0;
	if (!stat(beside, &log) && log.st_mtim.tv_sec >= st.st_mtim.tv_sec)
		st.st_mtim = log.st_mtim;
	free(beside);
	return st.st_mtim;
}

static int newest_first(const void *one, const void *other)
{
	struct timespec a = changed(*(char *const *)one),
	                b = changed(*(char *const *)other);
	if (a.tv_sec != b.tv_sec)
		return a.tv_sec < b.tv_sec ? 1 : -1;
	return a.tv_nsec < b.tv_nsec ? 1 : a.tv_nsec > b.tv_nsec ? -1 : 0;
}

/* A ring lies beside the trace, or, on a network's file system, elsewhere. */
static char *in_folder(const char *library)
{
	static const char suffix[] = "-ring";
	glob_t found = {0};
	char *path = NULL;

	glob("*-ring", 0, NULL, &found);
	glob("tidemark-*.db", GLOB_APPEND, NULL, &found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		char *name = found.gl_pathv[i];
		size_t length = strlen(name);
		if (length > strlen(suffix) &&
		    !strcmp(name + length - strlen(suffix), suffix))
			name[length - strlen(suffix)] = 0;
	}
	if (found.gl_pathc)
		qsort(found.gl_pathv, found.gl_pathc, sizeof(char *), newest_first);
	for (size_t i = 0; i < found.gl_pathc && !path; i++)
		if (is_trace(found.gl_pathv[i]) && lives(library, found.gl_pathv[i]))
			path = copy_text(found.gl_pathv[i]);
	globfree(&found);
	return path;
}

char *find_living(const char *word, const char *library)
{
	char *path;

	if (word && is_number(word) && access(word, F_OK))
		return of_process(atol(word));
	if (word)
		return copy_text(word);
	path = in_folder(library);
	if (!path)
		fail(STATUS_UNREADABLE,
		     "no trace in this folder is being written; name a trace or a "
		     "process, or start a run with 'tidemark run -- CMD'");
	note("watching '%s'", path);
	return path;
}
