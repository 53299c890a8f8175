/* oom_screen.c - one page about a refused allocation.
 * Called from: advice/, commands/, job/. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alive.h"
#include "heap.h"
#include "losses.h"
#include "oom_answer.h"
#include "text.h"
#include "whole.h"

void answer_make(struct trace *trace, const struct places *places,
                 const struct growth *growth, const struct oom *oom,
                 struct answer *answer)
{
	*answer = (struct answer){
	        .trace = trace, .places = places, .growth = growth, .oom = oom};
	differences_make(trace, places, oom, &answer->differences);
	levers_make(trace, places, growth, oom, &answer->levers);
}

void answer_free(struct answer *answer)
{
	differences_free(&answer->differences);
	levers_free(&answer->levers);
}

static char *limit_text(const struct oom *oom)
{
	if (oom->fraction < 1 && oom->moment.total > 0)
		return format_text(
		        "%s was free on the device, but the program allows PyTorch "
		        "only %.4g %% of the device, which is %s "
		        "(set_per_process_memory_fraction)",
		        text_size(oom->free).s, 100 * oom->fraction,
		        text_size(whole_of(oom->fraction * (double)oom->moment.total))
		                .s);
	return format_text("%s was free on the device, but something allows PyTorch "
	                   "less than %s (a memory fraction or a quota)",
	                   text_size(oom->free).s,
	                   text_size(oom->moment.reserved + oom->segment).s);
}

static char *fragmentation_text(const struct oom *oom)
{
	if (oom->segments.state != SEGMENTS_EXACT)
		return format_text("%s of free memory and %s inside PyTorch's memory "
		                   "would be enough for %s if they were in one piece",
		                   text_size(oom->free > 0 ? oom->free : 0).s,
		                   text_size(oom->cached).s,
		                   text_size(oom->requested).s);
	return format_text("%s of free memory and %s in holes would be enough for %s, "
	                   "but the largest hole is %s",
	                   text_size(oom->free > 0 ? oom->free : 0).s,
	                   text_size(oom->cached).s, text_size(oom->requested).s,
	                   text_size(oom->hole).s);
}

static char *outside_text(const struct oom *oom)
{
	return format_text("%s of the device is not PyTorch's. A CUDA context takes up "
	                   "to %d MiB of it; the other %s are what is missing",
	                   text_size(oom->outside).s, CONTEXT_MIB,
	                   text_size(oom->excess).s);
}

static char *shortage_text(const struct oom *oom)
{
	int64_t free = oom->free > 0 ? oom->free : 0;

	if (oom->requested > free + oom->cached)
		return format_text(
		        "%s is free and %s is in holes; even if every hole were "
		        "closed, the request for %s would still lack %s",
		        text_size(free).s, text_size(oom->cached).s,
		        text_size(oom->requested).s,
		        text_size(oom->requested - free - oom->cached).s);
	if (oom->forecast.step < 0)
		return format_text("%s is free and %s is in holes, of which the "
		                   "largest has %s; nearly all of the device is in use",
		                   text_size(free).s, text_size(oom->cached).s,
		                   text_size(oom->hole).s);
	return format_text("the step would have needed about %s more (step %lld %s), "
	                   "but only %s is free and %s is in holes",
	                   text_size(oom->forecast.growth).s,
	                   (long long)oom->forecast.step,
	                   oom->forecast.scale > 1.01 ? "did, scaled" : "did",
	                   text_size(free).s, text_size(oom->cached).s);
}

char *verdict_text(const struct oom *oom)
{
	switch (oom->verdict) {
	case LIMIT:
		return limit_text(oom);
	case FRAGMENTATION:
		return fragmentation_text(oom);
	case OUTSIDE:
		return outside_text(oom);
	case SHORTAGE:
		break;
	}
	return shortage_text(oom);
}

static void head(FILE *out, const char *word)
{
	fprintf(out, "  %s%-9s%s ", style(DIM), word, style(PLAIN));
}

static void print_request(const struct answer *answer, FILE *out)
{
	const struct oom *oom = answer->oom;
	const struct site *site = oom->place;
	char *line = line_text(&oom->line), *text;

	head(out, "asked");
	text = format_text("%s%s%s%s%s%s", site && site->op ? site->op : "",
	                   site && site->op && site->shape ? "  " : "",
	                   site && site->shape ? site->shape : "",
	                   site && site->dtype ? " " : "",
	                   site && site->dtype ? short_type(site->dtype) : "",
	                   site && site->module ? "  in " : "");
	if (site && site->module) {
		char *longer = format_text("%s%s", text, site->module);
		free(text);
		text = longer;
	}
	fprintf(out, "%s%s%s", style(BOLD), text_size(oom->requested).s, style(PLAIN));
	if (*text) {
		fputs("  ", out);
		text_fit(out, text,
		         term.width - 14 - text_width(text_size(oom->requested).s),
		         KEEP_HEAD);
	}
	fputc('\n', out);
	free(text);
	if (oom->line.file) {
		char *chain = line_chain(answer->trace, oom->stack, 4);
		head(out, "line");
		text = format_text("%s  %s", *chain ? chain : line,
		                   oom->line_is_caller  ? "(it began the backward)"
		                   : oom->line.function ? oom->line.function
		                                        : "");
		text_fit(out, text, term.width - 12, KEEP_HEAD);
		fputc('\n', out);
		free(text);
		free(chain);
	}
	free(line);
}

/* As the message that PyTorch gave the program has it. */
static void print_processes(const struct oom *oom, FILE *out)
{
	const struct processes *all = &oom->processes;
	char *text;

	if (!all->count)
		return;
	text = copy_text("");
	for (size_t i = 0; i < all->count; i++) {
		const struct process *process = &all->of[i];
		char *more =
		        process->pid < 0
		                ? format_text("%s%sthis process %s", text,
		                              i ? ", " : "",
		                              text_size(process->bytes).s)
		                : format_text("%s%sprocess %lld %s", text,
		                              i ? ", " : "", (long long)process->pid,
		                              text_size(process->bytes).s);
		free(text);
		text = more;
	}
	head(out, "on it");
	text_wrap(out, text, 12, 12);
	free(text);
}

static void print_totals(const struct answer *answer, FILE *out)
{
	static const char *const unknown[] = {
	        "", " in all (in pieces whose places are not recorded)",
	        " in all (their places are not known here)", " in all"};
	const struct oom *oom = answer->oom;
	const struct moment *moment = &oom->moment;
	char *text;

	if (oom->free >= 0 && moment->total < 0) {
		head(out, "device");
		fprintf(out, "%s was free; the snapshot does not say how large it is\n",
		        text_size(oom->free).s);
	} else if (oom->free >= 0) {
		head(out, "device");
		fprintf(out, "%s = %s free + %s PyTorch + %s outside\n",
		        text_size(moment->total).s, text_size(oom->free).s,
		        text_size(moment->reserved).s, text_size(oom->outside).s);
	}
	print_processes(oom, out);
	head(out, "PyTorch");
	fprintf(out, "%s = %s allocated + %s free in it\n",
	        text_size(moment->reserved).s, text_size(moment->allocated).s,
	        text_size(oom->cached).s);
	head(out, "holes");
	text = format_text("%s%s%s%s%s",
	                   oom->segments.state == SEGMENTS_EXACT
	                           ? "the largest that could take it: "
	                           : "",
	                   text_size(oom->hole).s, unknown[oom->segments.state],
	                   oom->segment != oom->requested
	                           ? "; else the driver has to give a segment of "
	                           : "",
	                   oom->segment != oom->requested ? text_size(oom->segment).s
	                                                  : "");
	text_wrap(out, text, 12, 12);
	free(text);
}

static void print_buckets(const struct answer *answer, FILE *out)
{
	const struct oom *oom = answer->oom;
	struct groups groups;
	struct table *table = table_new("<>><");
	int64_t whole =
	        oom->moment.used >= 0 ? oom->moment.used : oom->moment.allocated;
	int64_t around[] = {oom->cached, oom->outside};

	groups_make(answer->trace, answer->places, &oom->live, BY_BUCKET, &groups);
	for (size_t i = 0; i < groups.count + 2; i++) {
		const char *name = i < groups.count    ? groups.groups[i].bucket
		                   : i == groups.count ? "cache"
		                                       : "context";
		int64_t bytes = i < groups.count ? groups.groups[i].bytes
		                                 : around[i - groups.count];
		char *bar = NULL;
		size_t length;
		FILE *text;
		if (bytes <= 0)
			continue;
		text = open_memstream(&bar, &length);
		text_bar(text, bytes, whole, 30);
		fclose(text);
		bar[strcspn(bar, " ")] = 0;
		table_cell(table, bucket_style(name), "%s", name);
		table_cell(table, PLAIN, "%s", text_size(bytes).s);
		table_cell(table, PLAIN, "%s", text_percent(bytes, whole).s);
		table_cell(table, bucket_style(name), "%s", bar);
		free(bar);
	}
	fprintf(out, "\n  %swho held the %s in use%s\n", style(DIM), text_size(whole).s,
	        style(PLAIN));
	table_print(table, out, 2, false);
	table_free(table);
	groups_free(&groups);
}

static void print_live(const struct answer *answer, int64_t top, FILE *out)
{
	enum { BY = BY_MODULE | BY_SHAPE | BY_BUCKET | BY_PHASE | BY_PATTERN };
	struct groups groups;

	groups_make(answer->trace, answer->places, &answer->oom->live, BY, &groups);
	fputc('\n', out);
	alive_print(answer->trace, &groups, BY, (size_t)top, out);
	groups_free(&groups);
}

static void print_difference(const struct difference *d, FILE *out)
{
	const struct group *group = d->here ? d->here : d->there;
	const char *here = d->here ? d->here->shape : NULL;
	const char *there = d->there ? d->there->shape : NULL;
	const char *name = group->module ? group->module : group->op;
	bool changed = here && there && strcmp(here, there) != 0;
	char *text = format_text("%s  %s%s%s%s%s", group->bucket ? group->bucket : "",
	                         name ? name : "", here ? "  " : "", here ? here : "",
	                         changed ? " was " : "", changed ? there : "");
	char *size =
	        format_text("%s%s", d->bytes > 0 ? "+" : "", text_size(d->bytes).s);
	fprintf(out, "%12s%12s  ", "", size);
	text_fit(out, text, term.width - 26, KEEP_HEAD);
	fputc('\n', out);
	free(size);
	free(text);
}

static void print_before(const struct answer *answer, FILE *out)
{
	enum { SHOWN = 3 };
	const struct oom *oom = answer->oom;
	const struct differences *all = &answer->differences;
	struct point point;

	fputc('\n', out);
	if (oom->forecast.step < 0) {
		int64_t steps =
		        db_number(answer->trace->db, 0,
		                  "SELECT count(*) FROM step WHERE complete = 1 "
		                  "AND id >= 1");
		if (steps)
			fprintf(out,
			        "  %s complete, but none did what this one does at "
			        "this "
			        "place.\n",
			        steps > 1 ? "Earlier steps were" : "One step was");
		else
			fputs("  There is no earlier complete step to compare with.\n",
			      out);
		return;
	}
	head(out, "before");
	if (trace_peak(answer->trace, oom->moment.device->id, oom->forecast.step,
	               &point))
		fprintf(out, "step %s peaked at %s, and had %s at the same place;\n",
		        text_count(oom->forecast.step).s, text_size(point.allocated).s,
		        text_size(all->allocated).s);
	fprintf(out, "%12sthis step has %s%s there:\n", "",
	        text_size(llabs(oom->moment.allocated - all->allocated)).s,
	        oom->moment.allocated < all->allocated ? " less" : " more");
	for (size_t i = 0; i < all->count && i < SHOWN; i++)
		print_difference(&all->list[i], out);
	if (answer->growth->count) {
		head(out, "leak");
		fprintf(out, "every step keeps %s more; see 'tidemark leaks'\n",
		        text_size(growth_rate(answer->growth)).s);
	}
}

static const char *mark_sign(enum mark mark)
{
	return mark == MARK_UNKNOWN ? "?" : sign(mark == MARK_FITS ? CHECK : CROSS);
}

static enum style mark_style(enum mark mark)
{
	return mark == MARK_FITS ? GREEN : mark == MARK_UNKNOWN ? YELLOW : RED;
}

/* The column where the words about a lever begin. */
static int below(void)
{
	return 19 + text_width(sign(CHECK));
}

static void print_below(const char *text, FILE *out)
{
	fprintf(out, "%*s%s", below(), "", style(DIM));
	text_wrap(out, text, below(), below());
	fputs(style(PLAIN), out);
}

/* What is not known of the whole is said once, above. */
static bool said_above(const struct levers *levers, const char *why)
{
	return (levers->doubt && !strcmp(levers->doubt, why)) ||
	       (levers->unknown && !strcmp(levers->unknown, why));
}

/* What was seen in a run, and how far the replay was from it. */
static char *seen_text(const struct lever *lever)
{
	const struct verified *seen = &lever->verified;
	char *until, *off, *text;
	bool replayed = lever->peak > 0 && seen->peak > 0;

	if (!seen->ran)
		return seen->why ? format_text("run: %s", seen->why) : NULL;
	if (!seen->fits)
		return format_text("run and still out of memory in step %s, %s",
		                   text_count(seen->step).s,
		                   seen->phase ? seen->phase : "other");
	until = seen->until ? format_text(" up to step %s, where tidemark stopped it",
	                                  text_count(seen->until).s)
	                    : copy_text("");
	off = replayed ? format_text("; the replay expected %s, which is %.1f %% off",
	                             text_size(lever->peak).s,
	                             100 * fabs((double)(lever->peak - seen->peak)) /
	                                     (double)seen->peak)
	               : copy_text("");
	text = format_text("run and fits%s, peak %s%s", until, text_size(seen->peak).s,
	                   off);
	free(until);
	free(off);
	return text;
}

static void print_lever(const struct levers *levers, const struct lever *lever,
                        int number, FILE *out)
{
	char *seen = seen_text(lever);
	enum mark mark = !lever->verified.ran   ? lever->mark
	                 : lever->verified.fits ? MARK_FITS
	                                        : MARK_SHORT;

	fprintf(out, "  %2d ", number);
	text_mark(out, mark_style(mark), mark_sign(mark));
	fprintf(out, "%11s  ", text_size(lever->saves).s);
	text_wrap(out, lever->change, below(), below());
	if (seen)
		print_below(seen, out);
	print_below(lever->basis, out);
	if (lever->why && !lever->verified.ran && !said_above(levers, lever->why))
		print_below(lever->why, out);
	free(seen);
}

static void print_levers(const struct answer *answer, int64_t top, FILE *out)
{
	size_t shown = top == INT64_MAX ? SIZE_MAX : 5;
	const struct levers *levers = &answer->levers;
	char *head = format_text("each change is replayed to the end of the next step: "
	                         "%s fits, %s does not fit, ? not known",
	                         sign(CHECK), sign(CROSS));

	fprintf(out, "\n  %swhat would make it fit%s\n    ", style(DIM), style(PLAIN));
	text_wrap(out, head, 4, 4);
	free(head);
	if (levers->doubt || levers->unknown) {
		char *text =
		        format_text("%s%s", levers->doubt ? "" : "not known: ",
		                    levers->doubt ? levers->doubt : levers->unknown);
		fprintf(out, "%4s%s", "", style(YELLOW));
		text_wrap(out, text, 4, 4);
		fputs(style(PLAIN), out);
		free(text);
	}
	for (size_t i = 0; i < levers->count && i < shown; i++)
		print_lever(levers, &levers->list[i], (int)i + 1, out);
	if (levers->count > shown)
		fprintf(out, "    %s more; --full shows them\n",
		        text_count((int64_t)(levers->count - shown)).s);
	if (!levers->count)
		fputs("    this trace does not tell\n", out);
}

/* Figures from an incomplete trace are not passed off as exact. */
static void print_losses(const struct answer *answer, FILE *out)
{
	struct losses losses = losses_count(answer->trace);

	if (!losses.events && !losses.mismatches)
		return;
	head(out, "doubt");
	fprintf(out,
	        "%s%s lost; %s of the allocator's totals differ from the recorded "
	        "sum%s\n",
	        style(YELLOW), text_plural(losses.events, "event").s,
	        text_count(losses.mismatches).s, style(PLAIN));
}

void answer_print(const struct answer *answer, int64_t top, FILE *out)
{
	const struct oom *oom = answer->oom;
	char *why = verdict_text(oom);

	char *when =
	        format_text("%s, step %s, %s, after %s; %s", oom->moment.device->name,
	                    text_count(oom->moment.step.id).s,
	                    trace_phase(answer->trace, oom->moment.phase),
	                    text_duration(oom->moment.time_ns).s,
	                    oom->fatal ? "the run ended there" : "the run went on");

	fprintf(out, "%sOUT OF MEMORY%s  ", style(BOLD), style(PLAIN));
	text_wrap(out, when, 15, 15);
	free(when);
	print_request(answer, out);
	print_totals(answer, out);
	head(out, "verdict");
	fprintf(out, "%s%s%s: ", style(RED), verdict_names[oom->verdict], style(PLAIN));
	text_wrap(out, why, 12, 14 + text_width(verdict_names[oom->verdict]));
	free(why);
	print_losses(answer, out);
	print_buckets(answer, out);
	print_live(answer, top, out);
	print_before(answer, out);
	print_levers(answer, top, out);
}
