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
#include "judge.h"
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

static void print_next(const struct conditions *conditions, const struct wanted *wanted,
                       const struct trace *trace, FILE *out)
{
	const struct condition *worst = judge_worst(conditions);
	char *command;

	if (!worst || strcmp(worst->next, "diff") != 0) {
		next_commands(trace, out, worst ? worst->next : "report", NULL);
		return;
	}
	command = format_text("diff %s", wanted->baseline);
	next_commands(trace, out, command, NULL);
	free(command);
}

int cmd_check(const struct options *options)
{
	struct wanted wanted;
	struct conditions conditions = {0};
	struct defendant run = {0}, baseline = {0};
	struct device *devices;
	char *doubts[2] = {NULL, NULL};
	size_t count;
	struct json json;
	FILE *out;
	bool passed;
	int status;

	read_wishes(options, &wanted);
	run.trace = trace_open(options_file(options));
	run.doubt = doubts[0] = doubt_of(run.trace);
	devices = trace_devices(run.trace, options->value[OPT_DEVICE], &count);
	if (wanted.baseline) {
		baseline.trace = trace_open(wanted.baseline);
		baseline.doubt = doubts[1] = doubt_of(baseline.trace);
	}
	judge_all(&wanted, &run, &baseline, devices, count, &conditions);
	passed = !judge_worst(&conditions);
	out = screen_open();
	if (options->value[OPT_JSON]) {
		json_begin(&json, out);
		trace_json_head(run.trace, &json);
		json_text(&json, "trace", run.trace->name);
		json_text(&json, "doubt", run.doubt);
		judge_json(&conditions, &json);
		json_end(&json);
	} else {
		judge_print(&conditions, out);
		if (options->value[OPT_GITHUB])
			judge_github(&conditions, out);
		print_next(&conditions, &wanted, run.trace, out);
	}
	status = screen_close(out);
	if (options->value[OPT_JUNIT])
		write_junit(options->value[OPT_JUNIT], &conditions, run.trace->name);
	if (baseline.trace)
		trace_close(baseline.trace);
	trace_close(run.trace);
	judge_free(&conditions);
	free(doubts[0]);
	free(doubts[1]);
	return status ? status : passed ? STATUS_DONE : STATUS_NO;
}
