/* check.c - `tidemark check`: does a run keep to a limit, a baseline, a card?
 * Called from: main.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "doubt.h"
#include "fail.h"
#include "heap.h"
#include "job.h"
#include "judge.h"
#include "many.h"
#include "next.h"
#include "quantity.h"
#include "screen.h"
#include "text.h"

struct wanted {
	int64_t max_peak, tolerance; /* bytes, millionths; -1: not asked for */
	bool no_leak, fits;
	struct card card;
	const char *baseline; /* NULL: not asked for */
};

static int64_t size_option(const struct options *options, enum option_id id)
{
	const char *value = options->value[id];
	int64_t bytes;

	if (!value)
		return -1;
	if (quantity_size(value, &bytes) != QUANTITY_GOOD)
		fail(STATUS_USAGE, "'--%s' takes a size such as 20GiB, not '%s'",
		     option_name(id), value);
	return bytes;
}

/* "1%", "0.5 %", "1": in percent. */
static int64_t tolerance_option(const struct options *options)
{
	const char *value = options->value[OPT_TOLERANCE];
	char number[32];
	int64_t millionths;
	size_t length;

	if (!value)
		return 10000;
	length = strcspn(value, " %");
	snprintf(number, sizeof(number), "%.*s", (int)length, value);
	if (strcmp(value + length + strspn(value + length, " "), "") != 0 &&
	    strcmp(value + length + strspn(value + length, " "), "%") != 0)
		length = sizeof(number);
	if (length >= sizeof(number) ||
	    quantity_factor(number, &millionths) != QUANTITY_GOOD)
		fail(STATUS_USAGE,
		     "'--tolerance' takes a percentage such as 1%%, not '%s'", value);
	return millionths / 100;
}

static struct card card_option(const char *word)
{
	const struct card *card;
	char *names = NULL;
	int64_t bytes;
	enum card_answer answer = card_find(word, &card, &names);

	if (answer == CARD_KNOWN)
		return *card;
	if (answer == CARD_SEVERAL)
		fail(STATUS_USAGE, CARD_OF_SEVERAL, word, names);
	if (quantity_size(word, &bytes) != QUANTITY_GOOD || bytes < 1 << 20)
		fail(STATUS_USAGE,
		     "there is no card '%s'; did you mean %s? 'tidemark plan --gpu "
		     "list' lists all; a size such as 24GB works too",
		     word, names);
	free(names);
	return (struct card){.name = word, .bytes = bytes};
}

static void read_wishes(const struct options *options, struct wanted *wanted)
{
	*wanted = (struct wanted){
	        .max_peak = size_option(options, OPT_MAX_PEAK),
	        .baseline = options->value[OPT_BASELINE],
	        .no_leak = options->value[OPT_NO_LEAK],
	        .fits = options->value[OPT_CHECK_FITS],
	};
	if (wanted->max_peak < 0 && !wanted->baseline && !wanted->no_leak &&
	    !wanted->fits)
		fail(STATUS_USAGE,
		     "'check' needs a condition: --max-peak SIZE, --baseline FILE, "
		     "--no-leak or --fits CARD");
	if (options->value[OPT_TOLERANCE] && !wanted->baseline)
		fail(STATUS_USAGE,
		     "'--tolerance' is of '--baseline', which is missing");
	if (options->value[OPT_GITHUB] && options->value[OPT_JSON])
		fail(STATUS_USAGE,
		     "'--github' and '--json' are two answers; choose one");
	wanted->tolerance = tolerance_option(options);
	if (wanted->fits)
		wanted->card = card_option(options->value[OPT_CHECK_FITS]);
}

/* The device of a trace that stands for one of another: by its name, or as the only one. */
static const struct device *same_device(const struct trace *trace,
                                        const struct device *device, size_t count)
{
	for (size_t i = 0; i < trace->device_count; i++)
		if (!strcmp(trace->devices[i].name, device->name))
			return &trace->devices[i];
	return count == 1 && trace->device_count == 1 ? trace->devices : NULL;
}

/* Memory on the CPU is judged where there is no other, or where it is asked for. */
static bool is_judged(const struct device *devices, size_t count, size_t index)
{
	return count == 1 || strcmp(devices[index].name, "cpu") != 0;
}

static void judge_all(const struct wanted *wanted, const struct defendant *run,
                      const struct defendant *baseline, const struct device *devices,
                      size_t count, struct conditions *conditions)
{
	size_t judged = 0;

	for (size_t i = 0; i < count; i++) {
		const struct device *device = &devices[i];
		if (!is_judged(devices, count, i))
			continue;
		judged++;
		if (wanted->max_peak >= 0)
			judge_max_peak(run, device, wanted->max_peak, conditions);
		if (wanted->baseline)
			judge_baseline(run, device, baseline,
			               same_device(baseline->trace, device, count),
			               wanted->tolerance, conditions);
		if (wanted->no_leak)
			judge_no_leak(run, device, conditions);
		if (wanted->fits)
			judge_fits(run, device, &wanted->card, conditions);
	}
	if (judged)
		return;
	if (wanted->max_peak >= 0)
		judge_nothing("max-peak", conditions);
	if (wanted->baseline)
		judge_nothing("baseline", conditions);
	if (wanted->no_leak)
		judge_nothing("no-leak", conditions);
	if (wanted->fits)
		judge_nothing("fits", conditions);
}

static void write_junit(const char *path, const struct conditions *conditions,
                        const char *name)
{
	FILE *file = fopen(path, "we");

	if (!file)
		fail(STATUS_USAGE, "cannot write '%s': %s", path, strerror(errno));
	judge_junit(conditions, name, file);
	if (fclose(file))
		fail(STATUS_NO, "cannot write '%s': %s", path, strerror(errno));
}

/* Judges an open trace, beside the baseline where one is wanted. */
static void judge_run(const struct wanted *wanted, const struct options *options,
                      const struct defendant *run, struct conditions *conditions)
{
	struct defendant other = {0};
	struct device *devices;
	size_t count;
	char *doubt = NULL;

	devices = trace_devices(run->trace, options->value[OPT_DEVICE], &count);
	if (wanted->baseline) {
		other.trace = trace_open(wanted->baseline);
		other.doubt = doubt = doubt_of(other.trace);
	}
	judge_all(wanted, run, &other, devices, count, conditions);
	if (wanted->baseline)
		trace_close(other.trace);
	free(doubt);
}

static void print_next(const struct conditions *conditions, const struct wanted *wanted,
                       const char *path, FILE *out)
{
	const struct condition *worst = judge_worst(conditions);
	char *command;

	if (worst && worst->path)
		path = worst->path;
	if (!worst || strcmp(worst->next, "diff") != 0) {
		next_commands_for(path, out, worst ? worst->next : "report", NULL);
		return;
	}
	command = format_text("diff %s", wanted->baseline);
	next_commands_for(path, out, command, NULL);
	free(command);
}

/* Everything but JSON's head, and the exit status. name: of the run. */
static int tell(const struct options *options, const struct wanted *wanted,
                const struct conditions *conditions, const char *name, const char *path,
                FILE *out)
{
	int status;

	if (!options->value[OPT_JSON]) {
		judge_print(conditions, out);
		if (options->value[OPT_GITHUB])
			judge_github(conditions, out);
		print_next(conditions, wanted, path, out);
	}
	status = screen_close(out);
	if (options->value[OPT_JUNIT])
		write_junit(options->value[OPT_JUNIT], conditions, name);
	if (status)
		return status;
	return judge_worst(conditions) ? STATUS_NO : STATUS_DONE;
}

static int check_one(const struct options *options, const struct wanted *wanted)
{
	struct conditions conditions = {0};
	struct defendant run = {.trace = trace_open(options_file(options))};
	char *doubt = doubt_of(run.trace);
	struct json json;
	FILE *out;
	int status;

	run.doubt = doubt;
	judge_run(wanted, options, &run, &conditions);
	out = screen_open();
	if (options->value[OPT_JSON]) {
		json_begin(&json, out);
		trace_json_head(run.trace, &json);
		json_text(&json, "trace", run.trace->name);
		json_text(&json, "doubt", run.doubt);
		judge_json(&conditions, &json);
		json_end(&json);
	}
	status = tell(options, wanted, &conditions, run.trace->name, run.trace->name,
	              out);
	trace_close(run.trace);
	judge_free(&conditions);
	free(doubt);
	return status;
}

/* ---- the ranks of a job ---------------------------------------------------------------- */

/* The trace of a rank in the baseline: that of the same rank, or the only one. NULL: it has none. */
static const char *baseline_of(const struct job *baseline, const struct rollup *rank)
{
	for (size_t i = 0; i < baseline->count; i++)
		if (baseline->count == 1 ||
		    baseline->ranks[i]->number[OF_RANK] == rank->number[OF_RANK])
			return baseline->ranks[i]->path;
	return NULL;
}

static void judge_rank(const struct options *options, const struct wanted *wanted,
                       const struct rollup *rank, const struct job *baseline,
                       struct conditions *conditions)
{
	struct wanted own = *wanted;
	size_t from = conditions->count;
	struct defendant run = {.trace = trace_open(rank->path)};
	char *doubt = doubt_of(run.trace), *label = ranks_text(&rank, 1);

	run.doubt = doubt;
	own.baseline = baseline ? baseline_of(baseline, rank) : NULL;
	judge_run(&own, options, &run, conditions);
	if (baseline && !own.baseline)
		judge_put(conditions, "baseline", NULL, JUDGE_UNKNOWN,
		          format_text("not known: the baseline has no trace of %s",
		                      label));
	judge_of(conditions, from, label, rank->path);
	trace_close(run.trace);
	free(doubt);
	free(label);
}

/* A job of which a rank cannot be read, or left no trace, is not known to keep to anything. */
static void judge_absent(const struct job *job, struct conditions *conditions)
{
	for (size_t i = 0; i < job->unreadable_count; i++)
		judge_put(conditions, "traces", NULL, JUDGE_UNKNOWN,
		          format_text("not known: %s", job->unreadable[i]->why));
	if (job->missing_count) {
		char *list = ranks_list(job->missing, job->missing_count);
		judge_put(conditions, "traces", NULL, JUDGE_UNKNOWN,
		          format_text(job->missing_count > 1
		                              ? "not known: ranks %s have no trace"
		                              : "not known: rank %s has no trace",
		                      list));
		free(list);
	}
}

static int check_ranks(const struct options *options, const struct wanted *wanted)
{
	struct conditions conditions = {0};
	struct rollup_wish wish = {.step = -1};
	struct job job, baseline = {0};
	char *name = (char *)wanted->baseline;
	struct json json;
	FILE *out;
	int status;

	job_read(options->words, options->count, &wish, &job);
	if (wanted->baseline)
		job_read(&name, 1, &wish, &baseline);
	judge_absent(&job, &conditions);
	for (size_t i = 0; i < job.count; i++)
		judge_rank(options, wanted, job.ranks[i],
		           wanted->baseline ? &baseline : NULL, &conditions);
	out = screen_open();
	if (options->value[OPT_JSON]) {
		json_begin(&json, out);
		json_head(&json, SCHEMA_USER_VERSION);
		json_text(&json, "job", job.name);
		json_number(&json, "ranks", (int64_t)job.count);
		judge_json(&conditions, &json);
		json_end(&json);
	}
	status = tell(options, wanted, &conditions, job.name ? job.name : "job",
	              options->words[0], out);
	judge_free(&conditions);
	if (wanted->baseline)
		job_free(&baseline);
	job_free(&job);
	return status;
}

int cmd_check(const struct options *options)
{
	struct wanted wanted;

	read_wishes(options, &wanted);
	return many_named(options) ? check_ranks(options, &wanted)
	                           : check_one(options, &wanted);
}
