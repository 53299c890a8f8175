/* many.c - an answer about several traces, or a folder of them.
 * Called from: commands/. */
#include "many.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "fail.h"
#include "next.h"
#include "screen.h"
#include "trace.h"

bool many_named(const struct options *options)
{
	struct stat st;

	return options->count > 1 ||
	       (options->count == 1 && !stat(options->words[0], &st) &&
	        S_ISDIR(st.st_mode));
}

/* What is asked of one trace alone. */
static void refuse_options(const struct options *options)
{
	static const enum option_id alone[] = {OPT_BY,    OPT_FOLDED, OPT_CSV,
	                                       OPT_STEPS, OPT_VERIFY, OPT_STEP};

	for (size_t i = 0; i < sizeof(alone) / sizeof(*alone); i++) {
		bool ranks = alone[i] == OPT_STEP && options->command == COMMAND_PEAK;
		if (options->value[alone[i]] && !ranks)
			fail(STATUS_USAGE,
			     "'--%s' is asked of one trace, not of several",
			     option_name(alone[i]));
	}
}

/* The trace that tells more: the one that ended first, else the highest. */
static void print_next(const struct job *job, enum job_question question, FILE *out)
{
	const struct rollup *first = job_first_end(job);

	if (question == JOB_OOM || question == JOB_REPORT) {
		if (first) {
			next_commands_for(first->path, out,
			                  first->text[OF_OOM_PHASE] ? "oom" : "report",
			                  NULL);
			return;
		}
	}
	if (job->peak_count)
		next_commands_for(job->peaks[0]->path, out,
		                  question == JOB_LEAKS ? "leaks" : "peak", NULL);
}

int many_answer(const struct options *options, enum job_question question)
{
	struct rollup_wish wish = {.device = options->value[OPT_DEVICE],
	                           .step = -1,
	                           .growth = question == JOB_LEAKS};
	int64_t top = 12;
	struct job job;
	struct json json;
	FILE *out;

	refuse_options(options);
	option_number(options, OPT_STEP, &wish.step);
	option_number(options, OPT_TOP, &top);
	job_read(options->words, options->count, &wish, &job);
	out = screen_open();
	if (options->value[OPT_JSON]) {
		json_begin(&json, out);
		json_head(&json, SCHEMA_USER_VERSION);
		job_json(&job, question, &json);
		json_end(&json);
	} else {
		job_print(&job, question, top, out);
		print_next(&job, question, out);
	}
	job_free(&job);
	return screen_close(out);
}
