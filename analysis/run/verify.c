/* verify.c - `oom --verify`: the recorded command, run again with each lever of the answer that
 * can be applied from outside. Each run is a `tidemark simulate --with` of its own.
 * Called from: commands/oom.c. */
#include "verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "fail.h"
#include "heap.h"
#include "rerun.h"
#include "scratch.h"
#include "text.h"
#include "with.h"

struct work {
	struct trace *trace;
	const struct oom *oom;
	struct rerun rerun;
	char **with; /* for each lever of the answer its --with; NULL: it has none */
	size_t levers, count;
	int64_t limit; /* seconds */
};

/* The line outside of all modules that called the model: no_grad is put there. */
static char *calling_line(struct trace *trace, int64_t stack)
{
	size_t count = 0;
	struct frame *frames = stack >= 0 ? stack_frames(trace, stack, &count) : NULL;
	char *place = NULL;

	for (size_t i = count; i-- > 1;) {
		const struct frame *caller = &frames[i];
		const char *inner = frames[i - 1].function, *slash;
		if (!inner || !strstr(inner, "_call_impl") || !caller->file ||
		    caller->line < 0)
			continue;
		slash = strrchr(caller->file, '/');
		place = format_text("%s:%" PRId64, slash ? slash + 1 : caller->file,
		                    caller->line);
		break;
	}
	frames_free(frames, count);
	return place;
}

/* "checkpointing=blocks"; NULL where a lever is none that can be applied from outside. */
static char *with_text(struct work *work, const struct lever *lever)
{
	char *place, *text;

	if (!lever->id)
		return NULL;
	if (!strcmp(lever->id, "smaller_batch"))
		return lever->value < 1
		               ? NULL
		               : format_text("%s=%" PRId64, lever->id, lever->value);
	if (!strcmp(lever->id, "checkpointing"))
		return lever->target && *lever->target
		               ? format_text("%s=%s", lever->id, lever->target)
		               : copy_text(lever->id);
	if (!strcmp(lever->id, "no_grad")) {
		place = lever->target      ? copy_text(lever->target)
		        : lever->line.file ? calling_line(work->trace, work->oom->stack)
		                           : NULL;
		text = format_text("no_grad_in_eval%s%s", place ? "=" : "",
		                   place ? place : "");
		free(place);
		return text;
	}
	return with_knows(lever->id) ? copy_text(lever->id) : NULL;
}

/* ---- asking ---------------------------------------------------------------------------- */

static void say_what(const struct work *work)
{
	const struct rerun *rerun = &work->rerun;

	fprintf(stderr, "This runs the recorded command %s, on a simulated %s with %s",
	        work->count == 1 ? "once" : text_plural((int64_t)work->count, "time").s,
	        rerun->product ? rerun->product : "card", text_size(rerun->memory).s);
	if (rerun->world)
		fprintf(stderr, ", as rank %" PRId64 " of %" PRId64, rerun->rank,
		        rerun->world);
	fprintf(stderr, ", each time for %s at most:\n  cd %s\n  %s\n",
	        text_plural(work->limit, "second").s,
	        rerun->folder ? rerun->folder : ".", rerun->text);
	for (size_t i = 0; i < work->levers; i++)
		if (work->with[i])
			fprintf(stderr, "    with %s\n", work->with[i]);
}

static void ask(const struct work *work, const struct options *options)
{
	char answer[16] = "";

	if (options->value[OPT_YES])
		return;
	if (!rerun_is_here(&work->rerun))
		fail(STATUS_USAGE,
		     "the trace is of another machine (%s); '--yes' runs its command "
		     "here",
		     work->rerun.host ? work->rerun.host : "not named");
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		fail(STATUS_USAGE, "'--verify' runs a command; without a terminal to "
		                   "ask on it needs '--yes'");
	fputs("Run it? [y/N] ", stderr);
	if (!fgets(answer, sizeof(answer), stdin) || (*answer != 'y' && *answer != 'Y'))
		fail(STATUS_USAGE, "nothing was run");
}

/* ---- a run ------------------------------------------------------------------------------ */

struct command {
	char **words;
	size_t count, room;
};

static void word(struct command *command, char *text)
{
	command->words = grow(command->words, command->count + 1, &command->room,
	                      sizeof(*command->words));
	command->words[command->count++] = text;
	command->words[command->count] = NULL;
}

static void option(struct command *command, const char *name, int64_t number)
{
	word(command, copy_text(name));
	word(command, format_text("%" PRId64, number));
}

static void start(const struct work *work, const char *with, const char *json,
                  const char *file, struct command *command)
{
	const struct rerun *rerun = &work->rerun;

	word(command, copy_text("tidemark"));
	word(command, copy_text("simulate"));
	word(command, copy_text("--gpu"));
	word(command, copy_text(rerun->card));
	option(command, "--memory", rerun->memory);
	if (rerun->outside > 0)
		option(command, "--outside", rerun->outside);
	if (rerun->devices > 1)
		option(command, "--count", rerun->devices);
	if (rerun->world) {
		option(command, "--rank", rerun->rank);
		option(command, "--world", rerun->world);
	}
	word(command, copy_text("--with"));
	word(command, copy_text(with));
	word(command, copy_text("--json"));
	word(command, copy_text(json));
	word(command, copy_text("-o"));
	word(command, copy_text(file));
	word(command, copy_text("--"));
	for (size_t i = 0; i < rerun->count; i++)
		word(command, copy_text(rerun->words[i]));
}

/* ---- what was seen ----------------------------------------------------------------------- */

/* The last line of what the run said that is not empty: ours, or an exception's. */
static char *last_words(void)
{
	char *path = scratch_file("verify.log"), *text = child_text(path);
	char *rest = NULL, *last = NULL, *ours = NULL, *found;

	for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest)) {
		if (!strncmp(line, "tidemark: no verdict", 20) ||
		    !strncmp(line, "tidemark: simulating", 20) ||
		    !strncmp(line, "tidemark: with ", 15))
			continue;
		if (!strncmp(line, "tidemark: ", 10))
			ours = line + 10;
		else
			last = line;
	}
	found = copy_text(ours ? ours : last ? last : "it said nothing");
	free(text);
	free(path);
	return found;
}

static int64_t complete_steps(const char *path)
{
	struct trace *trace;
	int64_t steps;

	if (!path || access(path, R_OK))
		return 0;
	trace = trace_open(path);
	steps = trace_complete_steps(trace);
	trace_close(trace);
	return steps;
}

static const char verdict_of[] =
        "SELECT json_extract(?1, '$.gpus[0].verdict'),"
        " json_extract(?1, '$.gpus[0].peak_allocated_bytes'),"
        " json_extract(?1, '$.gpus[0].step'), json_extract(?1, '$.gpus[0].phase'),"
        " json_extract(?1, '$.gpus[0].trace'), json_extract(?1, '$.with[0].applied'),"
        " json_extract(?1, '$.with[0].what') WHERE json_valid(?1)";

/* A run that was ended at its limit has fitted where it is past the step after the one in which
 * the recorded run died. */
static void judge(const struct work *work, struct rows *rows, bool ended,
                  struct verified *seen)
{
	const char *verdict = rows_text(rows, 0), *what = rows_text(rows, 6);
	int64_t died = work->oom->moment.step.id, steps;

	seen->peak = rows_number_or(rows, 1, -1);
	seen->step = rows_number_or(rows, 2, -1);
	seen->phase = rows_copy(rows, 3);
	seen->ran = verdict != NULL;
	seen->fits = verdict && !strcmp(verdict, "fits");
	if (verdict)
		return;
	if (!ended) {
		steps = complete_steps(rows_text(rows, 4));
		seen->ran = seen->fits = steps > died;
		if (steps > 0)
			seen->until = steps;
		if (!seen->ran)
			seen->why = format_text(
			        "not known: after %s the run was not past step %s",
			        text_plural(work->limit, "second").s,
			        text_count(died).s);
		return;
	}
	if (!rows_number_or(rows, 5, 0))
		seen->why = format_text("it could not be applied: %s",
		                        what ? what : "the program took no lever");
	if (!seen->why) {
		char *last = last_words();
		seen->why = format_text("the run ended otherwise: %s", last);
		free(last);
	}
}

static void read_verdict(const struct work *work, const char *json, bool ended,
                         struct verified *seen)
{
	char *text = child_text(json);
	struct rows *rows =
	        text ? db_rows(work->trace->db, verdict_of, "t", text) : NULL;

	if (rows && rows_next(rows)) {
		judge(work, rows, ended, seen);
		rows_free(rows);
	} else {
		/* nothing was run: the same would be said of the next lever */
		char *last = last_words();
		fail(STATUS_USAGE, "nothing can be verified: %s", last);
	}
	free(text);
}

static void verify_one(const struct work *work, const char *with, size_t number,
                       struct verified *seen)
{
	char *json = scratch_file("verify.json"), *file;
	char *doing = format_text("%zu of %zu  %s", number, work->count, with);
	char *log = scratch_file("verify.log");
	struct command command = {.count = 0};
	int status;

	file = format_text("%.*s/verify-%zu.db", (int)(strrchr(json, '/') - json), json,
	                   number);
	unlink(json);
	start(work, with, json, file, &command);
	if (!isatty(STDERR_FILENO))
		note("%zu of %zu: %s", number, work->count, with);
	read_verdict(
	        work, json,
	        child_run(&(struct child){.words = (const char *const *)command.words,
	                                  .log = log,
	                                  .doing = doing,
	                                  .limit = work->limit},
	                  &status),
	        seen);
	for (size_t i = 0; i < command.count; i++)
		free(command.words[i]);
	free(command.words);
	free(doing);
	free(log);
	free(json);
	free(file);
}

void verify_levers(struct trace *trace, const struct oom *oom, struct levers *levers,
                   const struct options *options)
{
	struct work work = {
	        .trace = trace, .oom = oom, .levers = levers->count, .limit = 600};
	size_t number = 0;

	option_number(options, OPT_TIME_LIMIT, &work.limit);
	work.with = allocate((levers->count + 1) * sizeof(*work.with));
	for (size_t i = 0; i < levers->count; i++) {
		work.with[i] = with_text(&work, &levers->list[i]);
		work.count += work.with[i] != NULL;
	}
	if (!work.count) {
		warn("none of these levers can be applied from outside: nothing to "
		     "verify");
		free(work.with);
		return;
	}
	if (!scratch_file(""))
		fail(STATUS_USAGE, "cannot make a folder for the runs in $TMPDIR");
	rerun_load(trace, oom, &work.rerun);
	say_what(&work);
	ask(&work, options);
	if (work.rerun.settings && *work.rerun.settings)
		setenv("PYTORCH_CUDA_ALLOC_CONF", work.rerun.settings, 1);
	for (size_t i = 0; i < levers->count; i++) {
		if (work.with[i])
			verify_one(&work, work.with[i], ++number,
			           &levers->list[i].verified);
		free(work.with[i]);
	}
	free(work.with);
	rerun_free(&work.rerun);
}
