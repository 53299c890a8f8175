/* judge.c - does a run keep to what it must keep to?
 *
 * A run of which the trace does not tell all (it was killed, events were lost) may have needed
 * more than is seen. What is seen already decides a "no"; a "yes" takes the whole of it.
 * Called from: commands/check.c, fits.c, junit.c. */
#include "judge.h"

#include <stdlib.h>
#include <string.h>

#include "diff.h"
#include "frames.h"
#include "growth.h"
#include "heap.h"
#include "text.h"
#include "within.h"

const char *const judge_names[] = {[JUDGE_PASSED] = "passed",
                                   [JUDGE_FAILED] = "failed",
                                   [JUDGE_UNKNOWN] = "not known"};

struct condition *judge_put(struct conditions *conditions, const char *name,
                            const struct device *device, enum judged judged,
                            char *reason)
{
	struct condition *condition;

	conditions->list = grow(conditions->list, conditions->count, &conditions->room,
	                        sizeof(*conditions->list));
	condition = &conditions->list[conditions->count++];
	*condition =
	        (struct condition){.name = name,
	                           .device = copy_text(device ? device->name : NULL),
	                           .judged = judged,
	                           .reason = reason,
	                           .value = -1,
	                           .limit = -1,
	                           .line = -1,
	                           .next = "report"};
	return condition;
}

void judge_nothing(const char *name, struct conditions *conditions)
{
	judge_put(conditions, name, NULL, JUDGE_UNKNOWN,
	          copy_text("not known: no device memory was allocated through "
	                    "PyTorch"));
}

void judge_of(struct conditions *conditions, size_t from, const char *rank,
              const char *path)
{
	for (size_t i = from; i < conditions->count; i++) {
		conditions->list[i].rank = copy_text(rank);
		conditions->list[i].path = path;
	}
}

/* A sentence that holds as far as the trace goes, and why it may not go far enough. */
static char *not_known(const char *doubt, char *so_far)
{
	char *text = format_text("not known, because %s; %s", doubt, so_far);
	free(so_far);
	return text;
}

static void about_line(struct condition *condition, struct trace *trace, int64_t stack)
{
	struct line line = line_of(trace, stack);

	free(condition->file);
	condition->file = copy_text(line.file);
	condition->line = line.file ? line.number : -1;
	line_free(&line);
}

void judge_max_peak(const struct defendant *run, const struct device *device,
                    int64_t limit, struct conditions *conditions)
{
	struct trace *trace = run->trace;
	enum judged judged = run->doubt ? JUDGE_UNKNOWN : JUDGE_PASSED;
	struct condition *condition;
	struct point point;
	char *text;

	if (!trace_peak(trace, device->id, -1, &point))
		return;
	text = format_text("the peak on %s is %s (step %s, %s)", device->name,
	                   text_size(point.allocated).s, text_count(point.step).s,
	                   trace_phase(trace, point.phase));
	if (point.allocated > limit)
		judged = JUDGE_FAILED;
	if (judged == JUDGE_UNKNOWN) {
		text = not_known(run->doubt, text);
	} else {
		char *longer =
		        judged == JUDGE_FAILED
		                ? format_text("%s, %s above the limit of %s", text,
		                              text_size(point.allocated - limit).s,
		                              text_size(limit).s)
		                : format_text("%s, within %s", text,
		                              text_size(limit).s);
		free(text);
		text = longer;
	}
	condition = judge_put(conditions, "max-peak", device, judged, text);
	condition->basis = "measured";
	condition->value = point.allocated;
	condition->limit = limit;
	condition->next = "peak";
}

/* The largest change that made the peak higher; the caller's, "" where none did. */
static char *most_of_it(const struct diff *diff, struct condition *condition)
{
	const struct changes *changes = &diff->changes;

	if (changes->dimension.a && changes->dimension.bytes > 0) {
		char *what = dimension_text(&changes->dimension);
		char *text = format_text("; %s more by %s",
		                         text_size(changes->dimension.bytes).s, what);
		free(what);
		return text;
	}
	for (size_t i = 0; i < changes->count; i++) {
		const struct change *change = &changes->list[i];
		char *what, *text;
		if (change->bytes <= 0)
			continue;
		what = change_text(change);
		text = format_text("; the largest change is %s of %s: %s",
		                   signed_size(change->bytes).s, change->b.bucket,
		                   what);
		free(what);
		condition->file = copy_text(change->b.own);
		condition->line = change->b.own ? change->b.line : -1;
		return text;
	}
	return copy_text("");
}

/* "+5.3 %", of the baseline */
static struct small more_percent(int64_t now, int64_t then)
{
	struct small text;

	if (then > 0)
		snprintf(text.s, sizeof(text.s), "%+.1f %%",
		         100.0 * ((double)now - (double)then) / (double)then);
	else
		snprintf(text.s, sizeof(text.s), "from nothing");
	return text;
}

static void against(const struct defendant *run, const struct defendant *baseline,
                    struct diff *diff, int64_t tolerance, struct conditions *conditions)
{
	int64_t now = diff->peak_b.allocated, then = diff->peak_a.allocated;
	int64_t limit = then + (int64_t)((double)then * (double)tolerance / 1e6);
	enum judged judged = now > limit ? JUDGE_FAILED : JUDGE_PASSED;
	const char *doubt = now > limit ? baseline->doubt : run->doubt;
	const char *of = now > limit ? "of the baseline " : "";
	struct condition *condition;
	char *most, *allowed, *text, *longer;

	/* What a baseline that is not whole needed is above what its trace shows. */
	if (doubt)
		judged = JUDGE_UNKNOWN;
	condition = judge_put(conditions, "baseline", diff->b.device, judged, NULL);
	most = now > limit ? most_of_it(diff, condition) : copy_text("");
	allowed = format_text("%g %%", (double)tolerance / 1e4);
	text = format_text("the peak on %s is %s, the baseline's %s (%s, %s allowed)%s",
	                   diff->b.device->name, text_size(now).s, text_size(then).s,
	                   more_percent(now, then).s, allowed, most);
	if (doubt) {
		longer = format_text("%s%s", of, doubt);
		text = not_known(longer, text);
		free(longer);
	}
	condition->reason = text;
	condition->basis = "measured";
	condition->value = now;
	condition->limit = limit;
	condition->next = "diff";
	free(most);
	free(allowed);
}

void judge_baseline(const struct defendant *run, const struct device *device,
                    const struct defendant *baseline, const struct device *other,
                    int64_t tolerance, struct conditions *conditions)
{
	struct diff diff;

	if (other && diff_make(baseline->trace, other, run->trace, device, -1, &diff)) {
		against(run, baseline, &diff, tolerance, conditions);
		diff_free(&diff);
		return;
	}
	judge_put(
	        conditions, "baseline", device, JUDGE_UNKNOWN,
	        format_text("not known: the baseline has nothing of %s", device->name));
}

static char *growing_text(struct trace *trace, const struct growth *growth,
                          const struct places *places)
{
	const struct site *site = places_site(places, growth->list[0].site);
	char *line = line_chain(trace, site ? site->stack : -1, 3);
	char *text = format_text("%s more is kept with every step, %s by step %s%s%s",
	                         text_size(growth_rate(growth)).s,
	                         text_size(growth->bytes).s, text_count(growth->to).s,
	                         *line ? ", most of it made at " : "", line);

	free(line);
	return text;
}

static char *within_text(const struct within *within)
{
	if (within->turns)
		return format_text("%s more is kept with every turn of a loop inside "
		                   "step %s",
		                   text_size(within->rate).s,
		                   text_count(within->step).s);
	return format_text("a block of %s is made anew and larger each time, by %s",
	                   text_size(within->swells).s, text_size(within->swells_by).s);
}

void judge_no_leak(const struct defendant *run, const struct device *device,
                   struct conditions *conditions)
{
	struct trace *trace = run->trace;
	struct condition *condition;
	struct places places;
	struct growth growth;
	struct within within;
	int64_t site = -1;

	places_load(trace, device->name, &places);
	growth_load(trace, &places, device, -1, &growth);
	within_find(trace, &places, device, &within);
	if (growth.count) {
		condition = judge_put(conditions, "no-leak", device, JUDGE_FAILED,
		                      growing_text(trace, &growth, &places));
		condition->value = growth_rate(&growth);
		condition->limit = 0;
		site = growth.list[0].site;
	} else if (within.turns || within.swells) {
		condition = judge_put(conditions, "no-leak", device, JUDGE_FAILED,
		                      within_text(&within));
		site = within.turns ? within.site : within.swells_site;
	} else if (growth.too_short) {
		condition = judge_put(
		        conditions, "no-leak", device, JUDGE_UNKNOWN,
		        format_text("not known: the run has %s, and it takes four to "
		                    "see what grows",
		                    text_plural(trace_complete_steps(trace),
		                                "complete step")
		                            .s));
	} else {
		char *text = format_text("nothing grows on %s from step %s to step %s",
		                         device->name, text_count(growth.from).s,
		                         text_count(growth.to).s);
		condition = judge_put(conditions, "no-leak", device,
		                      run->doubt ? JUDGE_UNKNOWN : JUDGE_PASSED,
		                      run->doubt ? not_known(run->doubt, text) : text);
	}
	condition->basis = "measured";
	condition->next = "leaks";
	if (places_site(&places, site))
		about_line(condition, trace, places_site(&places, site)->stack);
	growth_free(&growth);
	places_free(&places);
}

const struct condition *judge_worst(const struct conditions *conditions)
{
	for (size_t i = 0; i < conditions->count; i++)
		if (conditions->list[i].judged != JUDGE_PASSED)
			return &conditions->list[i];
	return NULL;
}

void judge_free(struct conditions *conditions)
{
	for (size_t i = 0; i < conditions->count; i++) {
		free(conditions->list[i].rank);
		free(conditions->list[i].device);
		free(conditions->list[i].reason);
		free(conditions->list[i].file);
	}
	free(conditions->list);
}
