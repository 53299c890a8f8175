/* moment.c - an instant of a run on one device, and the totals that held then.
 * Called from: advice/, commands/. */
#include "moment.h"

#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "replay.h"
#include "text.h"
#include "trace_queries.h"
#include "whole.h"

/* "1.5s" in nanoseconds; a bare number is seconds. -1: no time. */
static int64_t parse_time(const char *text)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = {{"", 1e9},   {"s", 1e9}, {"ms", 1e6},
	             {"us", 1e3}, {"ns", 1},  {"min", 60e9}};
	char *end;
	double number;

	if (*text < '0' || *text > '9')
		return -1;
	number = strtod(text, &end);
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (!strcmp(end, units[i].name) && number * units[i].ns < 9e18)
			return whole_of(number * units[i].ns + 0.5);
	return -1;
}

struct wish moment_parse(const char *text, int64_t step)
{
	struct wish wish = {.kind = MOMENT_PEAK, .number = step};
	char *end;

	if (!text || !strcmp(text, "peak"))
		return wish;
	wish.kind = MOMENT_OOM;
	if (!strcmp(text, "oom"))
		return wish;
	if (step >= 0)
		fail(STATUS_USAGE,
		     "'--step' goes with '--at peak' or '--at oom', not "
		     "with '--at %s'",
		     text);
	if (!strncmp(text, "step:", 5)) {
		wish.kind = MOMENT_STEP;
		wish.number = strtoll(text + 5, &end, 10);
		if (text[5] >= '0' && text[5] <= '9' && !*end &&
		    wish.number < INT64_MAX)
			return wish;
		fail(STATUS_USAGE, "'--at %s': a step is a number, as in 'step:3'",
		     text);
	}
	wish.kind = MOMENT_TIME;
	wish.number = parse_time(text);
	if (wish.number < 0)
		fail(STATUS_USAGE,
		     "'--at' takes peak, oom, step:N or a time as '1.5s' or '412ms', "
		     "not '%s'",
		     text);
	return wish;
}

/* What the newest sample said that the instant has seen. */
static void sample(struct trace *trace, struct moment *moment)
{
	struct rows *rows =
	        db_rows(trace->db, sql_samples, "iii", moment->device->id,
	                moment->step.id, moment->ordinal < 0 ? 0 : moment->ordinal);
	moment->reserved = moment->used = moment->total = -1;
	while (rows_next(rows)) {
		if (moment->reserved < 0)
			moment->reserved = rows_number_or(rows, 0, -1);
		if (moment->used < 0 && !rows_null(rows, 1)) {
			moment->used = rows_number(rows, 1);
			moment->total = rows_number(rows, 2);
		}
		if (moment->reserved >= 0 && moment->used >= 0) {
			rows_free(rows);
			break;
		}
	}
}

static bool at_peak(struct trace *trace, const struct device *device, int64_t step,
                    struct moment *moment)
{
	struct point point;

	if (!trace_peak(trace, device->id, step, &point))
		return false;
	*moment = (struct moment){.device = device,
	                          .step = trace_step(trace, point.step),
	                          .ordinal = point.ordinal,
	                          .time_ns = point.time_ns,
	                          .latest_ns = -1,
	                          .phase = point.phase,
	                          .allocated = point.allocated};
	sample(trace, moment);
	if (moment->reserved < 0 && point.reserved_peak > 0)
		moment->reserved = point.reserved_peak;
	return true;
}

struct moment moment_of_oom(struct trace *trace, const struct device *device,
                            int64_t id)
{
	struct moment moment = {.device = device};
	struct rows *rows = db_rows(trace->db, sql_refused, "i", id);
	rows_next(rows);
	moment.step = trace_step(trace, rows_number(rows, 0));
	moment.ordinal = rows_number(rows, 1) - 1;
	moment.time_ns = moment.latest_ns = rows_number(rows, 2);
	moment.allocated = rows_number(rows, 3);
	moment.reserved = rows_number_or(rows, 4, -1);
	moment.used = rows_number_or(rows, 5, -1);
	moment.total = rows_number_or(rows, 6, -1);
	moment.phase = rows_number_or(rows, 7, PHASE_OTHER);
	rows_free(rows);
	return moment;
}

static bool at_oom(struct trace *trace, const struct device *device, int64_t step,
                   struct moment *moment)
{
	int64_t id;
	struct rows *rows = db_rows(trace->db,
	                            "SELECT id FROM oom WHERE device = ?1 AND "
	                            "(?2 < 0 OR step = ?2) ORDER BY id DESC",
	                            "ii", device->id, step);
	if (!rows_next(rows))
		return false;
	id = rows_number(rows, 0);
	rows_free(rows);
	*moment = moment_of_oom(trace, device, id);
	return true;
}

/* A time behind the end of the run asks for nothing. */
static void refuse_later(struct trace *trace, int64_t time_ns)
{
	int64_t last = db_number(trace->db, -1,
	                         "SELECT max(coalesce(ended_ns, 0), "
	                         "(SELECT max(end_ns) FROM step)) FROM run");

	if (last >= 0 && time_ns > last)
		fail(STATUS_USAGE, "'--at' asks for %s, but %s %s",
		     text_duration(time_ns).s,
		     trace->running ? "the run has lasted only" : "the run ended after",
		     text_duration(last).s);
}

/* After the last event up to then, of any device. */
static bool at_time(struct trace *trace, const struct device *device, int64_t time_ns,
                    struct moment *moment)
{
	struct replay replay = {.pattern = -1};
	const struct event *events;
	size_t count;
	int64_t step;
	struct rows *rows;

	refuse_later(trace, time_ns);
	rows = db_rows(trace->db,
	               "SELECT id FROM step WHERE start_ns <= ? OR id = 0 "
	               "ORDER BY id DESC LIMIT 1",
	               "i", time_ns);
	if (!rows_next(rows))
		return false;
	step = rows_number(rows, 0);
	rows_free(rows);
	*moment = (struct moment){.device = device,
	                          .step = trace_step(trace, step),
	                          .ordinal = -1,
	                          .time_ns = time_ns,
	                          .latest_ns = -1,
	                          .phase = PHASE_OTHER};
	moment->allocated = replay_start(trace, step, device->id);
	events = replay_step(trace, &replay, &moment->step, &count);
	for (size_t i = 0; i < count && events[i].time_ns <= time_ns; i++) {
		moment->ordinal = events[i].ordinal;
		moment->phase = events[i].phase;
		/* -1: of a device that took no part in any step */
		if (events[i].device == device - trace->devices)
			moment->allocated += events[i].bytes;
	}
	replay_free(&replay);
	sample(trace, moment);
	return true;
}

bool moment_find(struct trace *trace, const struct device *device,
                 const struct wish *wish, struct moment *moment)
{
	switch (wish->kind) {
	case MOMENT_PEAK:
		return at_peak(trace, device, wish->number, moment);
	case MOMENT_STEP:
		trace_step(trace, wish->number); /* ends here where there is none */
		return at_peak(trace, device, wish->number, moment);
	case MOMENT_OOM:
		return at_oom(trace, device, wish->number, moment);
	case MOMENT_TIME:
		break;
	}
	return at_time(trace, device, wish->number, moment);
}

const char *moment_missing(const struct wish *wish)
{
	return wish->kind == MOMENT_OOM
	               ? "no allocation was refused in this run\n"
	               : "no device memory was allocated through PyTorch\n";
}
