/* tracing.c - a program that is to be traced: where its trace goes, what its environment
 * holds, and which files came of it. For `run` and `simulate`.
 * Called from: commands/run.c, commands/simulate.c, outcome_print.c. */
#include "tracing.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fail.h"
#include "file.h"
#include "heap.h"
#include "launch.h"
#include "library.h"
#include "object.h"

static const char default_name[] = "tidemark-%h-%p.db";

char *tracing_output(const char *name)
{
	char *path, *folder, *here;

	if (!name)
		name = getenv("TIDEMARK_OUT");
	if (!name || !*name)
		name = default_name;
	here = *name == '/' ? NULL : getcwd(NULL, 0);
	path = *name == '/' ? copy_text(name)
	                    : format_text("%s/%s", here ? here : ".", name);
	free(here);
	folder = copy_text(path);
	*strrchr(folder, '/') = 0;
	if (!strchr(folder, '%') && access(*folder ? folder : "/", W_OK | X_OK)) {
		warn("cannot write to folder '%s': %s; running without tracing", folder,
		     strerror(errno));
		free(path);
		path = NULL;
	}
	free(folder);
	return path;
}

void tracing_check(const struct options *options)
{
	const char *stacks = options->value[OPT_STACKS];
	static const char *const known[] = {"none", "python", "native", "all"};
	for (int i = 0; i < 4; i++)
		if (!stacks || !strcmp(stacks, known[i]))
			return;
	fail(STATUS_USAGE, "'--stacks' is none, python, native or all, not '%s'",
	     stacks);
}

void tracing_warn(const char *program)
{
	const char *why = NULL;

	switch (program_kind(program)) {
	case PROGRAM_STATIC:
		why = "is statically linked";
		break;
	case PROGRAM_PRIVILEGED:
		why = "runs with another user's or group's rights";
		break;
	case PROGRAM_FOREIGN:
		why = "is for another kind of machine";
		break;
	case PROGRAM_DYNAMIC:
	case PROGRAM_UNKNOWN:
		break;
	}
	if (why)
		warn("'%s' %s: no library can be preloaded, so it runs untraced",
		     program, why);
}

bool tracing_prepare(const struct options *options, const char *output_path,
                     char token[TOKEN])
{
	char why[1024], *library = library_find(why, sizeof(why)), *preload;
	unsigned char random[16] = {0};

	if (!library) {
		warn("%s; running without tracing", why);
		return false;
	}
	if (library[strcspn(library, ": ")]) {
		warn("'%s' has a blank or a colon in its path, which LD_PRELOAD cannot "
		     "hold; running without tracing",
		     library);
		free(library);
		return false;
	}
	preload = launch_preload(library, getenv("LD_PRELOAD"));
	setenv("LD_PRELOAD", preload, 1);
	setenv("TIDEMARK_OUT", output_path, 1);
	if (options->value[OPT_STACKS])
		setenv("TIDEMARK_STACKS", options->value[OPT_STACKS], 1);
	if (options->value[OPT_CPU])
		setenv("TIDEMARK_CPU", "1", 1);
	/* The run's files are known by this token, whatever they are called. Older glibc than 2.25
	 * has no getrandom(). */
	if (syscall(SYS_getrandom, random, sizeof(random), 0) != sizeof(random))
		memcpy(random, &(pid_t){getpid()}, sizeof(pid_t));
	for (int i = 0; i < 16; i++)
		sprintf(token + 2 * i, "%02x", random[i]);
	setenv("TIDEMARK_QUIET", "1",
	       1); /* what it would say at its end is said here */
	setenv("TIDEMARK_RUN_ID", token, 1);
	free(preload);
	free(library);
	return true;
}

/* A glob for what %h, %p and %r may have become; numbered: for "t-2.db", which the library
 * takes where there is a "t.db" already. */
static char *as_glob(const char *path, bool numbered)
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

static bool is_from(const char *path, const char *token)
{
	char why[1024];
	struct db *db = file_open(path, why, sizeof(why));
	struct rows *rows;
	bool ours;

	if (!db)
		return false;
	rows = db_rows(db, "SELECT 1 FROM meta WHERE key = 'run_id' AND value = ?", "t",
	               token);
	ours = rows_next(rows);
	if (ours)
		rows_free(rows);
	db_close(db);
	return ours;
}

/* Both globs find what has a number behind a "%p". */
static bool listed(char **files, size_t count, const char *path)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(files[i], path))
			return true;
	return false;
}

size_t tracing_files(const char *path, const char *token, char ***files)
{
	glob_t found = {0};
	size_t made = 0;

	for (int numbered = 0; numbered < 2; numbered++) {
		char *pattern = as_glob(path, numbered);
		glob(pattern, numbered ? GLOB_APPEND : 0, NULL, &found);
		free(pattern);
	}
	*files = allocate((found.gl_pathc + 1) * sizeof(char *));
	for (size_t i = 0; i < found.gl_pathc; i++)
		if (!listed(*files, made, found.gl_pathv[i]) &&
		    is_from(found.gl_pathv[i], token))
			(*files)[made++] = copy_text(found.gl_pathv[i]);
	globfree(&found);
	return made;
}

const char *tracing_shorter(const char *path)
{
	char *here = getcwd(NULL, 0);
	size_t length = here ? strlen(here) : 0;
	bool below = length && !strncmp(path, here, length) && path[length] == '/';
	free(here);
	return below ? path + length + 1 : path;
}
