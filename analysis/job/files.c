/* files.c - the traces that words name: files, and folders of them.
 * Called from: job.c. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "heap.h"
#include "rollup.h"

struct list {
	char **names;
	size_t count, room;
};

static void put(struct list *list, char *name)
{
	list->names = grow(list->names, list->count, &list->room, sizeof(*list->names));
	list->names[list->count++] = name;
}

/* By its name, or, whatever it is called, by what SQLite and schema.sql put into its head: the
 * application's number is at byte 68, the highest first. */
static bool is_trace(const char *path)
{
	unsigned char head[72];
	size_t length = strlen(path);
	struct stat st;
	bool is = false;
	int fd;

	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return false;
	if (length > 3 && !strcmp(path + length - 3, ".db"))
		return true;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	if (read(fd, head, sizeof(head)) == (ssize_t)sizeof(head) &&
	    !memcmp(head, "SQLite format 3", 16))
		is = (head[68] << 24 | head[69] << 16 | head[70] << 8 | head[71]) ==
		     SCHEMA_APPLICATION_ID;
	close(fd);
	return is;
}

static int by_name(const void *left, const void *right)
{
	return strverscmp(*(char *const *)left, *(char *const *)right);
}

/* Folders, where `deeper` is given, go there. */
static void read_folder(const char *path, struct list *files, struct list *deeper)
{
	size_t length = strlen(path), first = files->count;
	DIR *folder = opendir(path);
	struct dirent *entry;

	if (!folder)
		fail(STATUS_UNREADABLE, "cannot read '%s': %s", path, strerror(errno));
	while (length > 1 && path[length - 1] == '/')
		length--;
	while ((entry = readdir(folder))) {
		char *name;
		struct stat st;
		if (*entry->d_name == '.')
			continue;
		name = format_text("%.*s%s%s", (int)length, path,
		                   path[length - 1] == '/' ? "" : "/", entry->d_name);
		if (is_trace(name))
			put(files, name);
		else if (deeper && !stat(name, &st) && S_ISDIR(st.st_mode))
			put(deeper, name);
		else
			free(name);
	}
	closedir(folder);
	if (files->count > first)
		qsort(files->names + first, files->count - first, sizeof(*files->names),
		      by_name);
}

/* One file may be named twice, in a folder and by itself, or by a link. */
static void drop_twins(struct list *list)
{
	struct stat *seen = allocate((list->count + 1) * sizeof(*seen));
	size_t kept = 0, known = 0;

	for (size_t i = 0; i < list->count; i++) {
		bool twin = false, there = !stat(list->names[i], &seen[known]);
		for (size_t k = 0; k < known && there && !twin; k++)
			twin = seen[k].st_ino == seen[known].st_ino &&
			       seen[k].st_dev == seen[known].st_dev;
		if (twin) {
			free(list->names[i]);
			continue;
		}
		known += there;
		list->names[kept++] = list->names[i];
	}
	list->count = kept;
	free(seen);
}

char **trace_files(char *const *words, int count, size_t *files)
{
	struct list list = {0};

	for (int i = 0; i < count; i++) {
		struct list deeper = {0};
		size_t before = list.count;
		struct stat st;
		bool none;
		if (stat(words[i], &st) || !S_ISDIR(st.st_mode)) {
			put(&list, copy_text(words[i]));
			continue;
		}
		read_folder(words[i], &list, &deeper);
		none = list.count == before;
		if (deeper.count)
			qsort(deeper.names, deeper.count, sizeof(*deeper.names),
			      by_name);
		for (size_t k = 0; k < deeper.count; k++) {
			if (none)
				read_folder(deeper.names[k], &list, NULL);
			free(deeper.names[k]);
		}
		free(deeper.names);
		if (list.count == before)
			fail(STATUS_UNREADABLE, "no trace lies in the folder '%s'",
			     words[i]);
	}
	drop_twins(&list);
	*files = list.count;
	return list.names;
}
