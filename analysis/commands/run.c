/* run.c - `tidemark run`: a program under the preload library.
 * The program's output and exit status are its own; what is said here goes to stderr.
 * Called from: main.c. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "brief.h"
#include "command.h"
#include "fail.h"
#include "launch.h"
#include "losses.h"
#include "heap.h"
#include "text.h"
#include "trace.h"
#include "tracing.h"

static void say_peak(const char *path)
{
	struct trace *trace = trace_open(path);
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

/* The first trace that tells of it: of many ranks the others died of that one. */
static const char *say_end(char **files, size_t made)
{
	for (size_t i = 0; i < made && i < 8; i++) {
		struct trace *trace = trace_open(files[i]);
		struct brief brief;
		bool ended = brief_load(trace, &brief);
		if (ended) {
			brief_print(&brief, stderr);
			brief_free(&brief);
		}
		trace_close(trace);
		if (ended)
			return files[i];
	}
	return NULL;
}

/* Does a ring lie beside it that holds what is not in it yet? */
static bool is_unfinished(const char *path)
{
	char *ring = format_text("%s-ring", path);
	bool there = !access(ring, F_OK);

	free(ring);
	return there;
}

/* In a child process: what the trace holds can't change the program's exit status. */
static void summarise(const char *path, const char *token)
{
	char **files;
	size_t made = tracing_files(path, token, &files);
	const char *died;

	if (!made && is_unfinished(path))
		warn("the program ended before its trace was written; next   "
		     "tidemark report %s, which finishes the trace",
		     tracing_shorter(path));
	else if (!made)
		warn("no trace: the program never allocated device memory through "
		     "PyTorch; use '--cpu' to trace CPU tensors");
	for (size_t i = 0; i < made && i < 8; i++)
		say_peak(tracing_shorter(files[i]));
	if (made > 8)
		warn("and %zu traces more", made - 8);
	died = say_end(files, made);
	if (died)
		warn("next   tidemark oom %s", tracing_shorter(died));
	else if (made)
		warn("next   tidemark report %s", tracing_shorter(files[0]));
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
	char token[TOKEN] = "", *program, *path;
	bool traced = false;
	int status;

	tracing_check(options);
	if (!options->count)
		fail(STATUS_USAGE, "name a program: 'tidemark run -- python train.py'");
	program = launch_lookup(options->words[0], &status);
	if (!program) {
		warn(status == NOT_FOUND ? "'%s': no such program"
		                         : "'%s' is not a program",
		     options->words[0]);
		return status;
	}
	path = tracing_output(options->value[OPT_OUTPUT]);
	if (path)
		traced = tracing_prepare(options, path, token);
	if (traced) {
		tracing_warn(program);
		tracing_announce(path, false);
	}
	status = launch_wait(program, options->words, 0);
	if (traced && !quiet)
		summarise_in_child(path, token);
	free(program);
	free(path);
	return status;
}
