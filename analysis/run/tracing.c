/* tracing.c - a program that is to be traced: where its trace goes, what its environment
 * holds, and which files came of it. For `run` and `simulate`.
 * Called from: commands/run.c, commands/simulate.c, outcome_print.c. */
#include "tracing.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fail.h"
#include "file.h"
#include "heap.h"
#include "launch.h"
#include "library.h"
#include "object.h"
#include "template.h"

static const char default_name[] = "tidemark-%h-%p.db";

/* Room for the first ring and for the trace's first pages, beside each other. */
enum { LEAST = 8 << 20 };

/* Why no file can be made in a folder, as far as can be told beforehand; 0: it can. */
static int folder_trouble(const char *folder)
{
	char *probe = format_text("%s/.tidemark-XXXXXX", folder);
	struct rlimit limit;
	int trouble, fd = mkostemp(probe, O_CLOEXEC);

	if (fd < 0) {
		trouble = errno;
	} else {
		/* Past this limit the kernel would end us with a signal. */
		trouble = !getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur < LEAST
		                  ? EFBIG
		                  : posix_fallocate(fd, 0, LEAST);
		unlink(probe);
		close(fd);
	}
	free(probe);
	/* Some file systems cannot say it beforehand. */
	return trouble == EOPNOTSUPP || trouble == EINVAL ? 0 : trouble;
}

/* "FOLDER/", or the name of a folder that is there: the trace goes into it. */
static char *inside_folder(char *path, bool asked)
{
	struct stat st;
	size_t length = strlen(path);
	char *inside;

	if (template_is(path) ||
	    (path[length - 1] != '/' && (stat(path, &st) || !S_ISDIR(st.st_mode))))
		return path;
	while (length > 1 && path[length - 1] == '/')
		path[--length] = 0;
	if (asked && mkdir(path, 0777) && errno != EEXIST)
		fail(STATUS_USAGE, "cannot make the folder '%s': %s",
		     tracing_shorter(path), strerror(errno));
	inside = format_text("%s/%s", path, default_name);
	free(path);
	return inside;
}

char *tracing_output(const char *name)
{
	bool asked = name;
	char *path, *folder, *here;
	int trouble;

	if (asked && !*name)
		fail(STATUS_USAGE, "'--output' needs the name of a file or a folder");
	if (!name)
		name = getenv("TIDEMARK_OUT");
	if (!name || !*name)
		name = default_name;
	here = *name == '/' ? NULL : getcwd(NULL, 0);
	path = *name == '/' ? copy_text(name)
	                    : format_text("%s/%s", here ? here : ".", name);
	free(here);
	path = inside_folder(path, asked);
	folder = copy_text(path);
	*strrchr(folder, '/') = 0;
	trouble = template_is(folder) ? 0 : folder_trouble(folder);
	if (!trouble && strlen(strrchr(path, '/') + 1) > NAME_MAX)
		trouble = ENAMETOOLONG;
	if (trouble == ENOENT && asked && access(folder, F_OK))
		fail(STATUS_USAGE,
		     "cannot write '%s': there is no folder '%s'; the program was not "
		     "started",
		     name, tracing_shorter(folder));
	if (trouble && asked)
		fail(STATUS_USAGE, "cannot write '%s': %s; the program was not started",
		     name, strerror(trouble));
	if (trouble) {
		warn("cannot write to folder '%s': %s; the program runs without "
		     "tracing",
		     folder, strerror(trouble));
		free(path);
		path = NULL;
	}
	free(folder);
	return path;
}

/* What the library will take: "a-2.db" where there is an "a.db", or what a run left beside one. */
static bool is_taken(const char *path)
{
	static const char *const beside[] = {"", "-ring", "-wal", "-shm", "-journal"};
	bool taken = false;

	for (size_t i = 0; i < sizeof(beside) / sizeof(*beside); i++) {
		char *name = format_text("%s%s", path, beside[i]);
		struct stat st;
		taken |= !lstat(name, &st);
		free(name);
	}
	return taken;
}

/* The name with %h, %p and %r as the library will fill them in, in the process that is asked; the
 * caller's. */
static char *filled_in(const char *name)
{
	static const char *const ranks[] = {"RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK",
	                                    "SLURM_PROCID"};
	char *text = NULL, host[256] = "host";
	const char *rank = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		out_of_memory();
	for (int i = 0; i < 4 && !rank; i++)
		rank = getenv(ranks[i]);
	if (gethostname(host, sizeof(host) - 1))
		strcpy(host, "host");
	host[strcspn(host, ".")] = 0;
	for (; *name; name++) {
		if (*name != '%' || !name[1])
			fputc(*name, out);
		else if (*++name == 'h')
			fputs(host, out);
		else if (*name == 'p')
			fprintf(out, "%d", (int)getpid());
		else if (*name == 'r')
			fputs(rank ? rank : "0", out);
		else
			fputc(*name, out);
	}
	fclose(out);
	return text;
}

static const char *announced; /* tracing_announce()'s, for the child */
static bool announce_other;

/* What the library finds otherwise, or as another process of the program, it says itself. */
static void announce(void)
{
	char *path = filled_in(announced), *other = copy_text(path);
	const char *slash = strrchr(path, '/'),
	           *dot = strrchr(slash ? slash : path, '.');

	dot = dot ? dot : path + strlen(path);
	for (int i = 2; is_taken(other) && i < 1000; i++) {
		free(other);
		other = format_text("%.*s-%d%s", (int)(dot - path), path, i, dot);
	}
	if (strcmp(other, path) != 0)
		note("'%s' exists; writing %s instead (from the first device event on)",
		     tracing_shorter(path), tracing_shorter(other));
	else if (!announce_other)
		note("writing %s (from the first device event on)",
		     tracing_shorter(path));
	if (!quiet)
		setenv("TIDEMARK_ANNOUNCED", other, 1);
	free(other);
	free(path);
}

void tracing_announce(const char *path, bool only_other)
{
	announced = path;
	announce_other = only_other;
	launch_before = announce;
}

static const char *const stack_kinds[] = {"none", "python", "native", "all"};

void tracing_check(const struct options *options)
{
	option_choice(options, OPT_STACKS, stack_kinds, 4);
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

/* Who names a file for the trace wants one. */
static void refuse_where_asked(const struct options *options, const char *why)
{
	if (options->value[OPT_OUTPUT])
		fail(STATUS_USAGE,
		     "%s; no trace can be written, so the program was not started",
		     why);
}

bool tracing_prepare(const struct options *options, const char *output_path,
                     char token[TOKEN])
{
	char why[1024], *library = library_find(why, sizeof(why)), *preload;
	unsigned char random[16] = {0};

	if (!library) {
		refuse_where_asked(options, why);
		warn("%s; the program runs without tracing", why);
		return false;
	}
	if (library[strcspn(library, ": ")]) {
		snprintf(
		        why, sizeof(why),
		        "the path '%s' has a blank or a colon, which LD_PRELOAD cannot "
		        "hold",
		        library);
		refuse_where_asked(options, why);
		warn("%s; the program runs without tracing", why);
		free(library);
		return false;
	}
	preload = launch_preload(library, getenv("LD_PRELOAD"));
	setenv("LD_PRELOAD", preload, 1);
	setenv("TIDEMARK_OUT", output_path, 1);
	if (options->value[OPT_STACKS])
		setenv("TIDEMARK_STACKS",
		       stack_kinds[option_choice(options, OPT_STACKS, stack_kinds, 4)],
		       1);
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
		char *pattern = template_glob(path, numbered);
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
