/* template.c - names of traces that hold %h, %p and %r: which files they have become.
 * Called from: run/tracing.c, trace.c. */
#include "template.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "heap.h"

bool template_is(const char *name)
{
	for (; (name = strchr(name, '%')); name++)
		if (name[1] && strchr("hpr", name[1]))
			return true;
	return false;
}

char *template_glob(const char *path, bool numbered)
{
	static const char number[] = "-[0-9]*";
	char *text = allocate(2 * strlen(path) + sizeof(number)), *to = text;
	const char *slash = strrchr(path, '/'),
	           *dot = strrchr(slash ? slash : path, '.');

	for (; *path; path++) {
		if (numbered && path == dot)
			to = stpcpy(to, number);
		if (*path == '%' && path[1] && strchr("hpr", path[1])) {
			*to++ = '*';
			path++;
		} else {
			if (strchr("*?[]\\", *path))
				*to++ = '\\';
			*to++ = *path;
		}
	}
	if (numbered && !dot)
		strcpy(to, number);
	return text;
}

static bool newer(const struct stat *a, const struct stat *b)
{
	return a->st_mtim.tv_sec != b->st_mtim.tv_sec
	               ? a->st_mtim.tv_sec > b->st_mtim.tv_sec
	               : a->st_mtim.tv_nsec > b->st_mtim.tv_nsec;
}

/* While a run goes on only the log beside its trace changes. */
char *template_newest(const char *pattern)
{
	glob_t found = {0};
	struct stat latest = {0};
	char *name = NULL;

	glob(pattern, 0, NULL, &found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct stat st, log;
		char *beside = format_text("%s-wal", found.gl_pathv[i]);
		if (!stat(found.gl_pathv[i], &st)) {
			if (!stat(beside, &log) && newer(&log, &st))
				st.st_mtim = log.st_mtim;
			if (!name || newer(&st, &latest)) {
				free(name);
				name = copy_text(found.gl_pathv[i]);
				latest = st;
			}
		}
		free(beside);
	}
	globfree(&found);
	return name;
}
