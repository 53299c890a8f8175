/* job.c - which traces are of one job, and which ranks lack one.
 *
 * Ranks of one job have what their launcher calls it in common (rollup.c). Traces of an older
 * recorder have not: those with the same world size and command line are taken together.
 * Called from: commands/, job/. */
#include "job.h"

#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "heap.h"
#include "text.h"

static int text_order(const char *a, const char *b)
{
	return a == b ? 0 : !a ? -1 : !b ? 1 : strcmp(a, b);
}

/* An order in which the traces of one job lie side by side. */
static int job_order(const struct rollup *a, const struct rollup *b)
{
	int way = text_order(a->text[OF_JOB], b->text[OF_JOB]);

	if (way || a->text[OF_JOB])
		return way;
	way = (a->number[OF_WORLD] > b->number[OF_WORLD]) -
	      (a->number[OF_WORLD] < b->number[OF_WORLD]);
	if (!way)
		way = text_order(a->text[OF_COMMAND], b->text[OF_COMMAND]);
	/* A run outside of any job is by itself. */
	if (!way && a->number[OF_WORLD] < 0)
		way = strcmp(a->path, b->path);
	return way;
}

/* Inside a job: by rank, and of one rank the newest first. */
static int by_job(const void *left, const void *right)
{
	const struct rollup *a = *(const struct rollup *const *)left;
	const struct rollup *b = *(const struct rollup *const *)right;
	uint64_t rank_a = (uint64_t)a->number[OF_RANK]; /* none: last */
	uint64_t rank_b = (uint64_t)b->number[OF_RANK];
	int way = job_order(a, b);

	if (!way)
		way = (rank_a > rank_b) - (rank_a < rank_b);
	if (!way)
		way = (a->number[OF_RESTART] < b->number[OF_RESTART]) -
		      (a->number[OF_RESTART] > b->number[OF_RESTART]);
	if (!way)
		way = (a->number[OF_STARTED] < b->number[OF_STARTED]) -
		      (a->number[OF_STARTED] > b->number[OF_STARTED]);
	return way ? way : strverscmp(a->path, b->path);
}

static int by_peak(const void *left, const void *right)
{
	const struct rollup *a = *(const struct rollup *const *)left;
	const struct rollup *b = *(const struct rollup *const *)right;
	int64_t more = a->number[OF_ALLOCATED], less = b->number[OF_ALLOCATED];

	if (more != less)
		return more < less ? 1 : -1;
	return a->number[OF_RANK] < b->number[OF_RANK]   ? -1
	       : a->number[OF_RANK] > b->number[OF_RANK] ? 1
	                                                 : strverscmp(a->path, b->path);
}

/* Were both processes there at the same time? A rank that was started anew began after it ended. */
static bool beside(const struct rollup *newer, const struct rollup *older)
{
	return newer->number[OF_RESTART] == older->number[OF_RESTART] &&
	       newer->number[OF_STARTED] < older->number[OF_ENDED];
}

/* The one of these that began last. */
static int64_t began(const struct rollup *const *list, size_t count)
{
	int64_t latest = INT64_MIN;
	for (size_t i = 0; i < count; i++)
		if (list[i]->number[OF_STARTED] > latest)
			latest = list[i]->number[OF_STARTED];
	return latest;
}

/* Is it of an earlier start of the job, which may have had more ranks? Each node counts its own
 * restarts, so that the number alone does not tell. */
static bool is_earlier(const struct rollup *rollup, const struct rollup *const *list,
                       size_t count)
{
	int64_t most = 0;

	for (size_t i = 0; i < count; i++)
		if (list[i]->number[OF_RESTART] > most)
			most = list[i]->number[OF_RESTART];
	return rollup->number[OF_RESTART] < most &&
	       rollup->number[OF_ENDED] < began(list, count);
}

/* Keeps one trace of each rank: the newest, and of several at one time the largest. */
static void keep_ranks(struct job *job, const struct rollup **list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (is_earlier(list[i], list, count)) {
			job->earlier++;
			continue;
		}
		const struct rollup **last =
		        job->count ? &job->ranks[job->count - 1] : NULL;
		if (!last || list[i]->number[OF_RANK] < 0 ||
		    (*last)->number[OF_RANK] != list[i]->number[OF_RANK]) {
			job->ranks[job->count++] = list[i];
			continue;
		}
		if (!beside(*last, list[i])) {
			job->earlier++;
			continue;
		}
		job->helpers++;
		if (list[i]->number[OF_ALLOCATED] > (*last)->number[OF_ALLOCATED])
			*last = list[i];
	}
}

static void find_missing(struct job *job)
{
	enum { MOST = 1 << 20 }; /* a damaged trace must not say how many */
	size_t at = 0;

	if (job->world < 1 || job->world > MOST)
		return;
	job->missing = allocate((size_t)job->world * sizeof(*job->missing));
	for (int64_t rank = 0; rank < job->world; rank++) {
		while (at < job->count && job->ranks[at]->number[OF_RANK] >= 0 &&
		       job->ranks[at]->number[OF_RANK] < rank)
			at++;
		if (at == job->count || job->ranks[at]->number[OF_RANK] != rank)
			job->missing[job->missing_count++] = rank;
	}
}

static void count_hosts(struct job *job)
{
	for (size_t i = 0; i < job->count; i++) {
		bool seen = !job->ranks[i]->text[OF_HOST];
		for (size_t k = 0; k < i && !seen; k++)
			seen = !text_order(job->ranks[k]->text[OF_HOST],
			                   job->ranks[i]->text[OF_HOST]);
		job->hosts += !seen;
	}
}

/* The stretch of a sorted list that is the job to answer for: one of several ranks before a run by
 * itself, then the one that began last. */
static void choose(struct job *job, const struct rollup **list, size_t count)
{
	size_t best = 0, best_count = 0;

	for (size_t i = 0, to; i < count; i = to) {
		for (to = i + 1; to < count && !job_order(list[i], list[to]); to++)
			;
		bool ranked = list[i]->number[OF_WORLD] > 1 || to - i > 1;
		bool other = best_count &&
		             (list[best]->number[OF_WORLD] > 1 || best_count > 1);
		if (!best_count || (ranked && !other) ||
		    (ranked == other &&
		     began(list + i, to - i) > began(list + best, best_count))) {
			best = i;
			best_count = to - i;
		}
	}
	keep_ranks(job, list + best, best_count);
	job->others = allocate((count + 1) * sizeof(*job->others));
	for (size_t i = 0, to; i < count; i = to) {
		for (to = i + 1; to < count && !job_order(list[i], list[to]); to++)
			;
		if (i != best)
			job->others[job->other_count++] =
			        (struct other_job){.one = list[i], .count = to - i};
	}
}

/* Files that were named one by one and belong to no job: side by side all the same. */
static bool no_job(const struct rollup *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (list[i]->number[OF_RANK] >= 0 || list[i]->number[OF_WORLD] >= 0)
			return false;
	return true;
}

void job_make(struct rollup *rollups, size_t count, struct job *job)
{
	const struct rollup **good = allocate((count + 1) * sizeof(*good));
	size_t good_count = 0;

	*job = (struct job){.rollups = rollups, .rollup_count = count, .world = -1};
	job->ranks = allocate((count + 1) * sizeof(*job->ranks));
	job->peaks = allocate((count + 1) * sizeof(*job->peaks));
	job->unreadable = allocate((count + 1) * sizeof(*job->unreadable));
	for (size_t i = 0; i < count; i++) {
		if (rollups[i].why)
			job->unreadable[job->unreadable_count++] = &rollups[i];
		else
			good[good_count++] = &rollups[i];
	}
	if (!good_count)
		fail(STATUS_UNREADABLE, "%s%s", job->unreadable[0]->why,
		     job->unreadable_count > 1
		             ? "; the other files cannot be read either"
		             : "");
	if (no_job(good, good_count)) {
		for (size_t i = 0; i < good_count; i++)
			job->ranks[job->count++] = good[i];
	} else {
		qsort(good, good_count, sizeof(*good), by_job);
		choose(job, good, good_count);
		job->name = job->ranks[0]->text[OF_JOB];
	}
	free(good);
	for (size_t i = 0; i < job->count; i++) {
		if (job->ranks[i]->number[OF_WORLD] > job->world)
			job->world = job->ranks[i]->number[OF_WORLD];
		if (job->ranks[i]->text[OF_DEVICE])
			job->peaks[job->peak_count++] = job->ranks[i];
	}
	if (job->peak_count)
		qsort(job->peaks, job->peak_count, sizeof(*job->peaks), by_peak);
	find_missing(job);
	count_hosts(job);
}

void job_read(char *const *words, int count, const struct rollup_wish *wish,
              struct job *job)
{
	size_t files_count;
	char **files = trace_files(words, count, &files_count);

	job_make(rollups_read(files, files_count, wish), files_count, job);
	for (size_t i = 0; i < files_count; i++)
		free(files[i]);
	free(files);
}

void job_free(struct job *job)
{
	for (size_t i = 0; i < job->rollup_count; i++)
		rollup_free(&job->rollups[i]);
	free(job->rollups);
	free(job->ranks);
	free(job->peaks);
	free(job->missing);
	free(job->others);
	free(job->unreadable);
}

const struct rollup *job_median(const struct job *job)
{
	return job->peak_count ? job->peaks[job->peak_count / 2] : NULL;
}

/* ---- how ranks are called ----------------------------------------------------------------- */

char *ranks_list(const int64_t *ranks, size_t count)
{
	enum { SHOWN = 6 }; /* stretches; of more, the first ones and the last */
	char *text = NULL;
	size_t size, stretches = 0, at = 0;
	FILE *out = open_memstream(&text, &size);

	for (size_t i = 0; i < count; i++)
		stretches += !i || ranks[i] != ranks[i - 1] + 1;
	for (size_t i = 0, to; i < count; i = to, at++) {
		bool left = stretches > SHOWN && at >= SHOWN / 2 && at + 1 < stretches;
		for (to = i + 1; to < count && ranks[to] == ranks[to - 1] + 1; to++)
			;
		if (left) {
			fprintf(out, "%s", at == SHOWN / 2 ? ", ..." : "");
			continue;
		}
		fprintf(out, "%s%lld", i ? ", " : "", (long long)ranks[i]);
		if (to - i > 1)
			fprintf(out, "%s%lld", to - i > 2 ? "-" : ", ",
			        (long long)ranks[to - 1]);
	}
	if (stretches > SHOWN)
		fprintf(out, " (%s)", text_plural((int64_t)count, "rank").s);
	fclose(out);
	return text;
}

static int by_number(const void *left, const void *right)
{
	int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
	return (a > b) - (a < b);
}

char *ranks_text(const struct rollup *const *ranks, size_t count)
{
	int64_t *numbers = allocate((count + 1) * sizeof(*numbers));
	size_t known = 0;
	char *list, *text;

	for (size_t i = 0; i < count; i++)
		if (ranks[i]->number[OF_RANK] >= 0)
			numbers[known++] = ranks[i]->number[OF_RANK];
	if (known)
		qsort(numbers, known, sizeof(*numbers), by_number);
	list = ranks_list(numbers, known);
	if (known == count)
		text = format_text("rank%s %s", count == 1 ? "" : "s", list);
	else
		text = format_text(
		        "%s%s%s", ranks[0]->path, count > 1 ? " and " : "",
		        count > 1 ? text_plural((int64_t)count - 1, "other trace").s
		                  : "");
	free(numbers);
	free(list);
	return text;
}

/* ---- how ranks ended ---------------------------------------------------------------------- */

char *end_text(const struct rollup *rollup)
{
	if (rollup->text[OF_OOM_PHASE])
		return format_text("it ran out of memory in step %s, %s%s%s",
		                   text_count(rollup->number[OF_OOM_STEP]).s,
		                   rollup->text[OF_OOM_PHASE],
		                   rollup->text[OF_OOM_LINE] ? ", at " : "",
		                   rollup->text[OF_OOM_LINE] ? rollup->text[OF_OOM_LINE]
		                                             : "");
	if (rollup->number[OF_RUNNING] > 0 || !rollup->text[OF_DOUBT] ||
	    rollup->number[OF_LOST] > 0)
		return NULL;
	return copy_text(rollup->text[OF_DOUBT]);
}

static int64_t end_time(const struct rollup *rollup)
{
	return rollup->text[OF_OOM_PHASE] ? rollup->number[OF_OOM_TIME]
	                                  : rollup->number[OF_ENDED];
}

const struct rollup *job_first_end(const struct job *job)
{
	const struct rollup *first = NULL;

	/* Of runs that have nothing to do with each other none is the first. */
	for (size_t i = 0; i < job->count && (job->name || job->world > 0); i++) {
		const struct rollup *rank = job->ranks[i];
		char *end = end_text(rank);
		if (end && (!first || end_time(rank) < end_time(first)))
			first = rank;
		free(end);
	}
	return first;
}
