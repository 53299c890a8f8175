/* spread.c - by what the ranks of a job differ at their peaks.
 *
 * A place is a bucket, a tensor's or module's name with its layers folded, and a line. The most
 * that a rollup keeps are its largest places: one that a rank lacks may be among its small ones.
 * Called from: job_json.c, job_screen.c. */
#include "spread.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "text.h"

struct entry {
	const struct part *part;
	const struct rollup *rank;
};

static int text_order(const char *a, const char *b)
{
	return a == b ? 0 : !a ? -1 : !b ? 1 : strcmp(a, b);
}

static int place_order(const struct part *a, const struct part *b)
{
	int way = text_order(a->bucket, b->bucket);

	if (!way)
		way = text_order(a->place, b->place);
	return way ? way : text_order(a->line, b->line);
}

static int by_place(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;
	int way = place_order(a->part, b->part);

	if (way)
		return way;
	if (a->part->bytes != b->part->bytes)
		return a->part->bytes < b->part->bytes ? 1 : -1;
	return (a->rank > b->rank) - (a->rank < b->rank);
}

static int by_spread(const void *left, const void *right)
{
	const struct difference_of *a = left, *b = right;
	int64_t one = a->most - a->least, other = b->most - b->least;

	if (one != other)
		return one < other ? 1 : -1;
	if (a->layers != b->layers)
		return a->layers ? -1 : 1;
	if (a->most != b->most)
		return a->most < b->most ? 1 : -1;
	return place_order(a->part, b->part);
}

static int by_path(const void *left, const void *right)
{
	const struct rollup *a = *(const struct rollup *const *)left;
	const struct rollup *b = *(const struct rollup *const *)right;

	if (a->number[OF_RANK] != b->number[OF_RANK])
		return a->number[OF_RANK] < b->number[OF_RANK] ? -1 : 1;
	return strverscmp(a->path, b->path);
}

/* What the ranks have of one place: entries, the most bytes first. */
static struct difference_of sum_up(const struct job *job, const struct entry *entries,
                                   size_t count)
{
	struct difference_of it = {.part = entries[0].part,
	                           .most = entries[0].part->bytes,
	                           .highest = entries[0].rank,
	                           .lowest = entries[count - 1].rank,
	                           .least = entries[count - 1].part->bytes};
	size_t middle = job->peak_count / 2;

	it.having = allocate((count + 1) * sizeof(*it.having));
	for (size_t i = 0; i < count; i++) {
		it.having[it.having_count++] = entries[i].rank;
		it.layers |= text_order(entries[i].part->layers, it.part->layers) != 0;
		if (entries[i].part->bytes == it.least &&
		    it.lowest->number[OF_RANK] > entries[i].rank->number[OF_RANK])
			it.lowest = entries[i].rank;
	}
	qsort(it.having, count, sizeof(*it.having), by_path);
	it.median = middle < count ? entries[middle].part->bytes : 0;
	if (count == job->peak_count)
		return it;
	it.least = 0;
	it.lacking = allocate((job->peak_count - count + 1) * sizeof(*it.lacking));
	for (size_t i = 0; i < job->peak_count; i++)
		if (!bsearch(&job->peaks[i], it.having, count, sizeof(*it.having),
		             by_path))
			it.lacking[it.lacking_count++] = job->peaks[i];
	if (it.lacking_count)
		it.lowest = it.lacking[0];
	return it;
}

static void find(const struct job *job, struct entry *entries, size_t count,
                 struct spread *spread)
{
	size_t room = 0;

	*spread = (struct spread){0};
	if (count)
		qsort(entries, count, sizeof(*entries), by_place);
	for (size_t i = 0, to; i < count; i = to) {
		struct difference_of it;
		for (to = i + 1;
		     to < count && !place_order(entries[i].part, entries[to].part);
		     to++)
			;
		it = sum_up(job, &entries[i], to - i);
		if (it.most == it.least && !it.layers) {
			free(it.having);
			free(it.lacking);
			continue;
		}
		spread->list =
		        grow(spread->list, spread->count, &room, sizeof(*spread->list));
		spread->list[spread->count++] = it;
	}
	if (spread->count)
		qsort(spread->list, spread->count, sizeof(*spread->list), by_spread);
}

void spread_parts(const struct job *job, struct spread *spread)
{
	struct entry *entries;
	size_t count = 0;

	for (size_t i = 0; i < job->peak_count; i++)
		count += job->peaks[i]->part_count;
	entries = allocate((count + 1) * sizeof(*entries));
	count = 0;
	for (size_t i = 0; i < job->peak_count; i++)
		for (size_t k = 0; k < job->peaks[i]->part_count; k++)
			entries[count++] =
			        (struct entry){&job->peaks[i]->parts[k], job->peaks[i]};
	find(job, entries, count, spread);
	free(entries);
}

const char *bucket_name(int bucket)
{
	static const char *const names[BUCKETS] = {
#define X(id, number, name) [number] = name,
	        SCHEMA_BUCKETS(X)
#undef X
	};
	return names[bucket];
}

void spread_buckets(const struct job *job, struct spread *spread)
{
	static struct part parts[BUCKETS]; /* the names, for the answer to point to */
	size_t room = 0;

	*spread = (struct spread){0};
	for (int b = 0; b < BUCKETS; b++) {
		struct difference_of it = {.part = &parts[b]};
		int64_t *bytes;
		parts[b].bucket = (char *)bucket_name(b);
		if (!bucket_name(b) || !job->peak_count)
			continue;
		bytes = allocate(job->peak_count * sizeof(*bytes));
		for (size_t i = 0; i < job->peak_count; i++) {
			int64_t now = job->peaks[i]->number[OF_BUCKET + b];
			size_t at = i;
			if (!it.highest || now > it.most) {
				it.most = now;
				it.highest = job->peaks[i];
			}
			if (!it.lowest || now < it.least) {
				it.least = now;
				it.lowest = job->peaks[i];
			}
			for (; at && bytes[at - 1] < now; at--)
				bytes[at] = bytes[at - 1];
			bytes[at] = now;
		}
		it.median = bytes[job->peak_count / 2];
		free(bytes);
		if (!it.most)
			continue;
		spread->list =
		        grow(spread->list, spread->count, &room, sizeof(*spread->list));
		spread->list[spread->count++] = it;
	}
	if (spread->count)
		qsort(spread->list, spread->count, sizeof(*spread->list), by_spread);
}

void spread_free(struct spread *spread)
{
	for (size_t i = 0; i < spread->count; i++) {
		free(spread->list[i].having);
		free(spread->list[i].lacking);
	}
	free(spread->list);
}

/* "h.*.mlp, made at model.py:16" */
static char *what_text(const struct part *part)
{
	if (!part->place && !part->line)
		return format_text("%s of which no place is known", part->bucket);
	return format_text("%s%s%s", part->place ? part->place : "blocks",
	                   part->line ? ", made at " : "",
	                   part->line ? part->line : "");
}

/* The layers that one rank has of a place. */
static const char *layers_on(const struct rollup *rank, const struct part *like)
{
	for (size_t i = 0; i < rank->part_count; i++)
		if (!place_order(&rank->parts[i], like))
			return rank->parts[i].layers;
	return NULL;
}

/* "0-11 on ranks 0-3, 12-23 on ranks 4-7": at most four of them. */
static char *layers_text(const struct difference_of *it)
{
	enum { SHOWN = 4 };
	bool *told = allocate((it->having_count + 1) * sizeof(*told));
	const struct rollup **same = allocate((it->having_count + 1) * sizeof(*same));
	char *text = copy_text("");

	for (size_t i = 0, shown = 0; i < it->having_count; i++) {
		const char *layers = layers_on(it->having[i], it->part);
		size_t count = 0;
		char *ranks, *longer;
		if (told[i])
			continue;
		for (size_t k = i; k < it->having_count; k++) {
			if (told[k] ||
			    text_order(layers, layers_on(it->having[k], it->part)))
				continue;
			told[k] = true;
			same[count++] = it->having[k];
		}
		if (shown++ == SHOWN) {
			longer = format_text("%s, and others", text);
			free(text);
			text = longer;
			break;
		}
		ranks = ranks_text(same, count);
		longer = format_text("%s%s%s on %s", text, *text ? "; " : "",
		                     layers ? layers : "none", ranks);
		free(ranks);
		free(text);
		text = longer;
	}
	free(told);
	free(same);
	return text;
}

char *spread_text(const struct difference_of *it)
{
	char *what = what_text(it->part), *text, *ranks;
	char *high = ranks_text(&it->highest, 1), *low = ranks_text(&it->lowest, 1);

	if (it->layers) {
		char *layers = layers_text(it);
		text = format_text("layers of %s: %s", what, layers);
		free(layers);
	} else if (it->lacking_count) {
		ranks = ranks_text(it->having, it->having_count);
		text = format_text("only %s %s %s%s%s", ranks,
		                   it->having_count == 1 ? "has" : "have", what,
		                   it->having_count == 1 ? "" : ", most on ",
		                   it->having_count == 1 ? "" : high);
		free(ranks);
	} else {
		text = format_text("%s: %s on %s, %s on %s", what,
		                   text_size(it->most).s, high, text_size(it->least).s,
		                   low);
	}
	free(what);
	free(high);
	free(low);
	return text;
}

char *batch_text(const struct job *job)
{
	const struct rollup *most = NULL, *least = NULL;
	char *high, *low, *text;

	for (size_t i = 0; i < job->peak_count; i++) {
		const struct rollup *rank = job->peaks[i];
		if (rank->number[OF_BATCH] < 0)
			return NULL;
		if (!most || rank->number[OF_BATCH] > most->number[OF_BATCH])
			most = rank;
		if (!least || rank->number[OF_BATCH] < least->number[OF_BATCH])
			least = rank;
	}
	if (!most || most->number[OF_BATCH] == least->number[OF_BATCH])
		return NULL;
	high = ranks_text(&most, 1);
	low = ranks_text(&least, 1);
	text = format_text("the batches are uneven: %s on %s, %s on %s",
	                   text_count(most->number[OF_BATCH]).s, high,
	                   text_count(least->number[OF_BATCH]).s, low);
	free(high);
	free(low);
	return text;
}
