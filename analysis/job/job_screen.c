/* job_screen.c - a job on one screen.
 * Called from: commands/many.c. */
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "job_answer.h"
#include "spread.h"
#include "text.h"

static void say(FILE *out, int indent, char *sentence)
{
	fprintf(out, "%*s", indent, "");
	text_wrap(out, sentence, indent, indent);
	free(sentence);
}

static void print_missing(const struct job *job, FILE *out)
{
	char *list;

	if (!job->missing_count)
		return;
	list = ranks_list(job->missing, job->missing_count);
	fprintf(out, "%s", style(YELLOW));
	say(out, 2,
	    format_text("%s no trace here: %s",
	                job->missing_count == 1 ? "one rank has" : "these ranks have",
	                list));
	fputs(style(PLAIN), out);
	free(list);
}

static void print_beside(const struct job *job, FILE *out)
{
	enum { SHOWN = 5 };

	if (job->helpers)
		say(out, 2,
		    format_text("left out: %s of processes that these ranks started",
		                text_plural((int64_t)job->helpers, "trace").s));
	if (job->earlier)
		say(out, 2,
		    format_text("left out: %s of ranks that were started again later",
		                text_plural((int64_t)job->earlier, "trace").s));
	for (size_t i = 0; i < job->other_count && i < SHOWN; i++) {
		const struct rollup *one = job->others[i].one;
		say(out, 2,
		    format_text("left out: %s of another %s (%s)",
		                text_plural((int64_t)job->others[i].count, "trace").s,
		                one->text[OF_JOB] ? "job" : "run",
		                one->text[OF_JOB] ? one->text[OF_JOB] : one->path));
	}
	if (job->other_count > SHOWN)
		say(out, 2,
		    format_text("left out too: %s",
		                text_plural((int64_t)(job->other_count - SHOWN),
		                            "other run")
		                        .s));
	for (size_t i = 0; i < job->unreadable_count && i < SHOWN; i++)
		say(out, 2, format_text("left out: %s", job->unreadable[i]->why));
	if (job->unreadable_count > SHOWN)
		say(out, 2,
		    format_text("and %s more that cannot be read",
		                text_plural((int64_t)(job->unreadable_count - SHOWN),
		                            "file")
		                        .s));
}

/* Ranks whose figures may be too low. */
static void print_doubts(const struct job *job, FILE *out)
{
	size_t running = 0, lost = 0;

	for (size_t i = 0; i < job->count; i++) {
		running += job->ranks[i]->number[OF_RUNNING] > 0;
		lost += job->ranks[i]->number[OF_LOST] > 0;
	}
	if (running)
		fprintf(out, "  %s %s still running: these are the figures so far\n",
		        text_plural((int64_t)running, "rank").s,
		        running == 1 ? "is" : "are");
	if (lost)
		say(out, 2,
		    format_text(
		            "%s lost events, so the peak there may have been higher",
		            text_plural((int64_t)lost, "rank").s));
}

static void print_head(const struct job *job, FILE *out)
{
	const struct rollup *one = job->ranks[0];
	char *name = job->name ? copy_text(job->name)
	                       : copy_text(job->world > 1 ? "no job id is recorded"
	                                                  : "traces of no job");

	fprintf(out, "%sJOB%s  ", style(BOLD), style(PLAIN));
	text_fit(out, name, term.width - 5, KEEP_HEAD);
	fputs("\n  ", out);
	if (job->world > 0)
		fprintf(out, "%s of %s %s a trace", text_count((int64_t)job->count).s,
		        text_plural(job->world, "rank").s,
		        job->count == 1 ? "has" : "have");
	else
		fprintf(out, "%s; how many ranks there were is not known",
		        text_plural((int64_t)job->count, "trace").s);
	if (job->hosts)
		fprintf(out, " %s %s", sign(DOT),
		        text_plural((int64_t)job->hosts, "host").s);
	if (one->text[OF_TORCH])
		fprintf(out, " %s torch %s", sign(DOT), one->text[OF_TORCH]);
	if (one->number[OF_SIMULATED] > 0)
		fprintf(out, " %s simulated", sign(DOT));
	fputc('\n', out);
	if (one->text[OF_COMMAND]) {
		fputs("  ", out);
		text_fit(out, one->text[OF_COMMAND], term.width - 2, KEEP_HEAD);
		fputc('\n', out);
	}
	free(name);
	print_missing(job, out);
	print_doubts(job, out);
	print_beside(job, out);
}

static int64_t end_of(const struct rollup *rank)
{
	return rank->text[OF_OOM_PHASE] ? rank->number[OF_OOM_TIME]
	                                : rank->number[OF_ENDED];
}

/* Who came to a bad end first, why, and how many came after. */
static void print_first_end(const struct job *job, FILE *out)
{
	const struct rollup *first = job_first_end(job), *second = NULL;
	size_t bad = 0;
	char *name, *end, *after;

	if (!first)
		return;
	for (size_t i = 0; i < job->count; i++) {
		const struct rollup *rank = job->ranks[i];
		char *other = end_text(rank);
		bad += other != NULL;
		if (other && rank != first &&
		    (!second || end_of(rank) < end_of(second)))
			second = rank;
		free(other);
	}
	name = ranks_text(&first, 1);
	end = end_text(first);
	after = second ? format_text("; the next came %s later",
	                             text_duration(end_of(second) - end_of(first)).s)
	               : copy_text("");
	fprintf(out, "\n%sENDED%s  %s", style(RED), style(PLAIN), style(BOLD));
	fprintf(out, "%s%s", name, style(PLAIN));
	if (bad > 1)
		fprintf(out, " was the first of %s",
		        text_plural((int64_t)bad, "rank").s);
	if (first->text[OF_HOST])
		fprintf(out, ", on %s", first->text[OF_HOST]);
	fputc('\n', out);
	say(out, 7, format_text("%s%s", end, after));
	if (first->text[OF_OOM_VERDICT])
		say(out, 7, copy_text(first->text[OF_OOM_VERDICT]));
	if (second && job->hosts > 1)
		say(out, 7,
		    copy_text("these times are from the clocks of different hosts"));
	free(name);
	free(end);
	free(after);
}

static void print_peaks(const struct job *job, int64_t top, FILE *out)
{
	const struct rollup *worst, *median = job_median(job);
	char *high, *middle;

	if (!job->peak_count) {
		fputs("\n  no device memory was allocated through PyTorch\n", out);
		return;
	}
	worst = job->peaks[0];
	high = ranks_text(&worst, 1);
	middle = ranks_text(&median, 1);
	fprintf(out, "\n%sPEAK%s  %s%s%s on %s, the highest", style(BOLD), style(PLAIN),
	        style(BOLD), text_size(worst->number[OF_ALLOCATED]).s, style(PLAIN),
	        high);
	if (job->peak_count > 1)
		fprintf(out, "; %s in the middle (%s)",
		        text_size(median->number[OF_ALLOCATED]).s, middle);
	fputs("\n\n", out);
	ranks_print(job, top, out);
	free(high);
	free(middle);
}

static void print_by_bucket(const struct job *job, FILE *out)
{
	static const char *const heads[] = {"bucket", "highest", "rank",
	                                    "middle", "lowest",  "rank"};
	struct table *table = table_new("<><>><");
	struct spread spread;

	spread_buckets(job, &spread);
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		table_cell(table, PLAIN, "%s", heads[i]);
	for (size_t i = 0; i < spread.count; i++) {
		const struct difference_of *it = &spread.list[i];
		bool equal = it->most == it->least;
		char *high = ranks_text(&it->highest, 1);
		char *low = ranks_text(&it->lowest, 1);
		table_cell(table, bucket_style(it->part->bucket), "%s",
		           it->part->bucket);
		table_cell(table, PLAIN, "%s", text_size(it->most).s);
		table_cell(table, DIM, "%s", equal ? "all equal" : high);
		table_cell(table, PLAIN, "%s", equal ? "" : text_size(it->median).s);
		table_cell(table, PLAIN, "%s", equal ? "" : text_size(it->least).s);
		table_cell(table, DIM, "%s", equal ? "" : low);
		free(high);
		free(low);
	}
	table_print(table, out, 2, true);
	table_free(table);
	spread_free(&spread);
}

static void print_spread(const struct job *job, int64_t top, FILE *out)
{
	struct spread spread;
	char *batches = batch_text(job);

	if (job->peak_count < 2) {
		free(batches);
		return;
	}
	fprintf(out, "\n%sSPREAD%s  at each rank's own peak\n\n", style(BOLD),
	        style(PLAIN));
	print_by_bucket(job, out);
	spread_parts(job, &spread);
	if (spread.count || batches)
		fputs("\n  what makes it, the largest first\n", out);
	if (batches)
		say(out, 4, batches);
	for (size_t i = 0; i < spread.count && (int64_t)i < top; i++) {
		const struct difference_of *it = &spread.list[i];
		fprintf(out, "  %10s  %s%s%s", text_size(it->most - it->least).s,
		        style(bucket_style(it->part->bucket)), it->part->bucket,
		        style(PLAIN));
		fprintf(out, "%*s", 15 - text_width(it->part->bucket), "");
		char *text = spread_text(it);
		text_wrap(out, text, 29, 29);
		free(text);
	}
	if ((int64_t)spread.count > top)
		fprintf(out, "    %sand %s more; --top N shows them%s\n", style(DIM),
		        text_plural((int64_t)spread.count - top, "place").s,
		        style(PLAIN));
	spread_free(&spread);
}

/* Which ranks go together, as far as torch's process groups tell it. */
static bool same_name(const char *a, const char *b)
{
	return !strcmp(a ? a : "", b ? b : "");
}

static void print_groups(const struct job *job, FILE *out)
{
	enum { SHOWN = 4 };
	size_t count, of_name;
	struct job_group *groups = job_groups(job, &count);

	if (job->world > 1 || job->count > 1)
		fprintf(out, "\n%sGROUPS%s  %s\n", style(BOLD), style(PLAIN),
		        count ? "by torch's process groups"
		              : "not known: the traces name no process group");
	for (size_t i = 0; i < count; i += of_name) {
		of_name = 1;
		while (i + of_name < count &&
		       same_name(groups[i].what, groups[i + of_name].what))
			of_name++;
		fprintf(out, "  %-16s ",
		        groups[i].what ? groups[i].what : "without a name");
		for (size_t k = 0; k < of_name && k < SHOWN; k++)
			fprintf(out, "%s%s", k ? "; " : "", groups[i + k].ranks);
		if (of_name > SHOWN)
			fprintf(out, "; and %s more",
			        text_count((int64_t)(of_name - SHOWN)).s);
		fputc('\n', out);
	}
	free(groups);
}

static void print_ooms(const struct job *job, int64_t top, FILE *out)
{
	struct table *table = table_new("~>>>-");
	static const char *const heads[] = {"", "step", "asked for", "allocated", "at"};
	size_t count = 0;

	for (size_t i = 0; i < 5; i++)
		table_cell(table, PLAIN, "%s", heads[i]);
	for (size_t i = 0; i < job->count; i++) {
		const struct rollup *rank = job->ranks[i];
		char *name;
		if (!rank->text[OF_OOM_PHASE] || (int64_t)count++ >= top)
			continue;
		name = ranks_text(&rank, 1);
		table_cell(table, PLAIN, "%s", name);
		table_cell(table, PLAIN, "%s, %s",
		           text_count(rank->number[OF_OOM_STEP]).s,
		           rank->text[OF_OOM_PHASE]);
		table_cell(table, PLAIN, "%s",
		           text_size(rank->number[OF_OOM_REQUESTED]).s);
		table_cell(table, PLAIN, "%s",
		           text_size(rank->number[OF_OOM_ALLOCATED]).s);
		table_cell(table, PLAIN, "%s",
		           rank->text[OF_OOM_LINE] ? rank->text[OF_OOM_LINE] : "");
		free(name);
	}
	if (!count) {
		fputs("\n  no rank ran out of memory\n", out);
	} else {
		fprintf(out, "\n  %s ran out of memory\n\n",
		        text_plural((int64_t)count, "rank").s);
		table_print(table, out, 2, true);
		if ((int64_t)count > top)
			fprintf(out, "  %sand %s more; --top N shows them%s\n",
			        style(DIM), text_plural((int64_t)count - top, "rank").s,
			        style(PLAIN));
	}
	table_free(table);
}

static bool leaks_alike(const struct rollup *a, const struct rollup *b)
{
	const char *one = a->text[OF_LEAK_LINE], *other = b->text[OF_LEAK_LINE];

	return a->number[OF_LEAK_RATE] == b->number[OF_LEAK_RATE] &&
	       !strcmp(one ? one : "", other ? other : "");
}

static char *leak_text(const struct rollup *rank)
{
	int64_t rate = rank->number[OF_LEAK_RATE];
	const char *line = rank->text[OF_LEAK_LINE];

	if (rate < 0)
		return copy_text("too few complete steps to tell, it takes four");
	if (!rate)
		return copy_text("nothing grows from step to step");
	return format_text("%s more is kept with every step%s%s", text_size(rate).s,
	                   line ? ", most of it made at " : "", line ? line : "");
}

/* Ranks that leak alike are one line, the worst first. */
static void print_leaks(const struct job *job, FILE *out)
{
	bool *told = allocate((job->peak_count + 1) * sizeof(*told));
	const struct rollup **same = allocate((job->peak_count + 1) * sizeof(*same));

	fprintf(out, "\n%sLEAKS%s\n", style(BOLD), style(PLAIN));
	for (;;) {
		const struct rollup *worst = NULL;
		size_t count = 0;
		char *ranks, *text;
		for (size_t i = 0; i < job->peak_count; i++)
			if (!told[i] && (!worst || job->peaks[i]->number[OF_LEAK_RATE] >
			                                   worst->number[OF_LEAK_RATE]))
				worst = job->peaks[i];
		if (!worst)
			break;
		for (size_t i = 0; i < job->peak_count; i++) {
			if (told[i] || !leaks_alike(job->peaks[i], worst))
				continue;
			told[i] = true;
			same[count++] = job->peaks[i];
		}
		ranks = ranks_text(same, count);
		text = leak_text(worst);
		say(out, 2, format_text("%s: %s", ranks, text));
		free(ranks);
		free(text);
	}
	if (!job->peak_count)
		fputs("  no device memory was allocated through PyTorch\n", out);
	free(told);
	free(same);
}

void job_print(const struct job *job, enum job_question question, int64_t top,
               FILE *out)
{
	print_head(job, out);
	if (question == JOB_REPORT || question == JOB_OOM)
		print_first_end(job, out);
	if (question == JOB_OOM)
		print_ooms(job, top, out);
	if (question == JOB_REPORT || question == JOB_PEAK)
		print_peaks(job, top, out);
	if (question == JOB_PEAK)
		print_spread(job, top, out);
	if (question == JOB_REPORT)
		print_spread(job, top < 6 ? top : 6, out);
	if (question == JOB_LEAKS)
		print_leaks(job, out);
	if (question == JOB_TIMELINE) {
		fputc('\n', out);
		job_steps_print(job, out);
	}
	if (question == JOB_REPORT || question == JOB_PEAK)
		print_groups(job, out);
}
