/* temp.h - a folder of its own for a test, gone when the test's process ends. */
#ifndef TIDEMARK_TEST_TEMP_H
#define TIDEMARK_TEST_TEMP_H

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char temp_folder[64];

static void temp_remove(void)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -rf '%s'", temp_folder);
	if (system(command))
		return;
}

/* A path in the test's folder; good until the next call. */
static inline const char *temp_path(const char *name)
{
	static char path[4][PATH_MAX];
	static int next;
	char *p = path[next++ % 4];
	if (!*temp_folder) {
		strcpy(temp_folder, "/tmp/tidemark-test-XXXXXX");
		if (!mkdtemp(temp_folder))
			exit(1);
		atexit(temp_remove);
	}
	snprintf(p, PATH_MAX, "%s/%s", temp_folder, name);
	return p;
}

/* An empty file of that name, as a session makes it before its store opens it. */
static inline const char *temp_file(const char *name)
{
	const char *path = temp_path(name);
	int fd = open(path, O_CREAT | O_EXCL | O_RDWR, 0600);
	if (fd < 0)
		exit(1);
	close(fd);
	return path;
}

#endif
