/* cmd_run.c - `tidemark run`: a program under the preload library.
 * The program's output and exit status are its own; what is said here goes to stderr.
 */
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "db.h"
#include "object.h"
#include "fail.h"
#include "launch.h"
#include "library.h"
#include "losses.h"
#include "heap.h"
#include "text.h"
#include "trace.h"

static const char default_name[] = "tidemark-%h-%p.db";

/* Where the trace goes, absolute: the program may change its folder. NULL, with a
 * warning, where nothing can be written there. */
static char *output(const struct options *options)
{
	const char *name = options->value[OPT_OUTPUT];
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

static void check_stacks(const char *stacks)
{
	static const char *const known[] = {"none", "python", "native", "all"};
	for (int i = 0; i < 4; i++)
		if (!strcmp(stacks, known[i]))
			return;
	fail(STATUS_USAGE, "'--stacks' is none, python, native or all, not '%s'",
	     stacks);
}

static void warn_about(const char *program)
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

/* false: the program runs as it would without us. */
static bool prepare(const struct options *options, const char *output_path,
                    char token[33])
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
	/* The run's files are known by this token, whatever they are called. */
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		memcpy(random, &(pid_t){getpid()}, sizeof(pid_t));
	for (int i = 0; i < 16; i++)
		sprintf(token + 2 * i, "%02x", random[i]);
	setenv("TIDEMARK_RUN_ID", token, 1);
	free(preload);
	free(library);
	return true;
}

/* A glob for what %h, %p and %r may have become. */
static char *as_glob(const char *path)
{
	char *text = allocate(2 * strlen(path) + 1), *to = text;

	for (; *path; path++) {
		if (*path == '%' && path[1] && strchr("hpr", path[1])) {
			*to++ = '*';
			path++;
		} else {
			if (strchr("*?[]\\", *path))
				*to++ = '\\';
			*to++ = *path;
		}
	}
	return text;
}

static bool is_from(const char *path, const char *token)
{
	char why[1024];
	struct db *db = db_open(path, why, sizeof(why));
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

/* As short as it can be typed: without the current folder. */
static const char *shorter(const char *path)
{
	char *here = getcwd(NULL, 0);
	size_t length = here ? strlen(here) : 0;
	bool below = length && !strncmp(path, here, length) && path[length] == '/';
	free(here);
	return below ? path + length + 1 : path;
}

static void say_peak(const char *path)
{
	char *words[] = {(char *)(uintptr_t)path};
	struct options options = {
	        .words = words, .count = 1, .command = COMMAND_REPORT};
	struct trace *trace = trace_open(&options);
	struct losses losses = losses_count(trace);
	struct stat st;
	struct point point;

	for (size_t i = 0; i < trace->device_count; i++) {
		const struct device *device = &trace->devices[i];
		if (!trace_peak(trace, device->id, -1, &point))
			continue;
		fprintf(stderr, "tidemark: %s peak %s", device->name,
		        text_size(point.allocated).s);
		if (device->total_bytes > 0)
			fprintf(stderr, " of %s", text_size(device->total_bytes).s);
		fprintf(stderr, ", in %s %s %s %s %s lost",
		        trace_phase(trace, point.phase), sign(DOT),
		        text_plural(trace_complete_steps(trace), "step").s, sign(DOT),
		        text_plural(losses.events, "event").s);
		if (!stat(path, &st))
			fprintf(stderr, " %s %s", sign(DOT), text_size(st.st_size).s);
		fputc('\n', stderr);
	}
	trace_close(trace);
}

/* In a child process: what the trace holds can't change the program's exit status. */
static void summarise(const char *path, const char *token)
{
	char *pattern = as_glob(path);
	glob_t found = {0};
	size_t made = 0;

	glob(pattern, 0, NULL, &found);
	for (size_t i = 0; i < found.gl_pathc; i++)
		if (is_from(found.gl_pathv[i], token))
			found.gl_pathv[made++] = found.gl_pathv[i];
	if (!made)
		warn("no trace: the program never allocated device memory through "
		     "PyTorch; "
		     "'--cpu' traces CPU tensors");
	for (size_t i = 0; i < made && i < 8; i++)
		say_peak(shorter(found.gl_pathv[i]));
	if (made > 8)
		warn("and %zu traces more", made - 8);
	if (made)
		warn("next   tidemark report %s", shorter(found.gl_pathv[0]));
	exit(0);
}

static void summarise_in_child(const char *path, const char *token)
{
	pid_t child = fork();
	if (!child)
		summarise(path, token);
	if (child > 0)
		waitpid(child, NULL, 0);
}

int cmd_run(const struct options *options)
{
	char token[33] = "", *program, *path;
	bool traced = false;
	int status;

	if (options->value[OPT_STACKS])
		check_stacks(options->value[OPT_STACKS]);
	if (!options->count)
		fail(STATUS_USAGE, "name a program: 'tidemark run -- python train.py'");
	program = launch_lookup(options->words[0], &status);
	if (!program) {
		warn(status == NOT_FOUND ? "'%s': no such program"
		                         : "'%s' is not a program",
		     options->words[0]);
		return status;
	}
	path = output(options);
	if (path)
		traced = prepare(options, path, token);
	if (traced) {
		warn_about(program);
		note("writing %s (from the first device event on)", shorter(path));
	}
	status = launch_wait(program, options->words);
	if (traced && !quiet)
		summarise_in_child(path, token);
	free(program);
	free(path);
	return status;
}
