/* job_json.c - a job as JSON, and its process groups.
 * Called from: commands/many.c, job_screen.c, merge.c. */
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "job_answer.h"
#include "spread.h"

static int by_group(const void *left, const void *right)
{
	const struct job_group *a = left, *b = right;
	int way = strcmp(a->what ? a->what : "", b->what ? b->what : "");
	return way ? way : strverscmp(a->ranks, b->ranks);
}

/* What torch calls a group that the program has given no name. */
static const char *called(const char *what)
{
	return what && *what && strcmp(what, "undefined") != 0 ? what : NULL;
}

struct job_group *job_groups(const struct job *job, size_t *count)
{
	struct job_group *list = NULL;
	size_t room = 0, all = 0;

	for (size_t i = 0; i < job->count; i++)
		for (size_t k = 0; k < job->ranks[i]->group_count; k++) {
			const struct process_group *group = &job->ranks[i]->groups[k];
			if (!group->ranks ||
			    (group->what && !strcmp(group->what, "default_pg")))
				continue;
			list = grow(list, all, &room, sizeof(*list));
			list[all++] = (struct job_group){.what = called(group->what),
			                                 .ranks = group->ranks};
		}
	if (all)
		qsort(list, all, sizeof(*list), by_group);
	*count = 0;
	for (size_t i = 0; i < all; i++)
		if (!*count || by_group(&list[*count - 1], &list[i]))
			list[(*count)++] = list[i];
	return list;
}

static void rank_json(const struct rollup *rank, struct json *json)
{
	static const struct {
		const char *key;
		enum rollup_number number;
	} numbers[] = {
	        {"world_size", OF_WORLD},
	        {"restart", OF_RESTART},
	        {"pid", OF_PID},
	        {"started_unix_ns", OF_STARTED},
	        {"ended_unix_ns", OF_ENDED},
	        {"exit_status", OF_STATUS},
	        {"steps", OF_STEPS},
	        {"lost_events", OF_LOST},
	        {"device_total_bytes", OF_TOTAL},
	        {"peak_allocated_bytes", OF_ALLOCATED},
	        {"peak_reserved_bytes", OF_RESERVED},
	        {"peak_step", OF_STEP},
	        {"batch", OF_BATCH},
	        {"growth_bytes_per_step", OF_LEAK_RATE},
	};
	char *end = end_text(rank);

	json_object(json, NULL);
	json_known(json, "rank", rank->number[OF_RANK]);
	json_text(json, "trace", rank->path);
	json_text(json, "host", rank->text[OF_HOST]);
	json_text(json, "device", rank->text[OF_DEVICE]);
	json_text(json, "product", rank->text[OF_PRODUCT]);
	json_text(json, "peak_phase", rank->text[OF_PHASE]);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		json_known(json, numbers[i].key, rank->number[numbers[i].number]);
	json_array(json, "by_bucket");
	for (int b = 0; b < BUCKETS; b++) {
		if (rank->number[OF_BUCKET + b] <= 0)
			continue;
		json_object(json, NULL);
		json_text(json, "bucket", bucket_name(b));
		json_number(json, "bytes", rank->number[OF_BUCKET + b]);
		json_end(json);
	}
	json_end(json);
	json_truth(json, "running", rank->number[OF_RUNNING] > 0);
	json_text(json, "doubt", rank->text[OF_DOUBT]);
	json_text(json, "end", end);
	json_text(json, "growth_line", rank->text[OF_LEAK_LINE]);
	if (rank->text[OF_OOM_PHASE]) {
		json_object(json, "out_of_memory");
		json_number(json, "step", rank->number[OF_OOM_STEP]);
		json_text(json, "phase", rank->text[OF_OOM_PHASE]);
		json_known(json, "requested_bytes", rank->number[OF_OOM_REQUESTED]);
		json_known(json, "allocated_bytes", rank->number[OF_OOM_ALLOCATED]);
		json_text(json, "line", rank->text[OF_OOM_LINE]);
		json_text(json, "verdict", rank->text[OF_OOM_VERDICT]);
		json_end(json);
	} else {
		json_null(json, "out_of_memory");
	}
	json_end(json);
	free(end);
}

static void ranks_json(const char *key, const struct rollup *const *ranks, size_t count,
                       struct json *json)
{
	json_array(json, key);
	for (size_t i = 0; i < count; i++)
		json_known(json, NULL, ranks[i]->number[OF_RANK]);
	json_end(json);
}

static void spread_json(const char *key, const struct spread *spread, bool places,
                        struct json *json)
{
	json_array(json, key);
	for (size_t i = 0; i < spread->count; i++) {
		const struct difference_of *it = &spread->list[i];
		char *text = places ? spread_text(it) : NULL;
		json_object(json, NULL);
		json_text(json, "bucket", it->part->bucket);
		json_number(json, "most_bytes", it->most);
		json_number(json, "median_bytes", it->median);
		json_number(json, "least_bytes", it->least);
		json_known(json, "most_rank", it->highest->number[OF_RANK]);
		json_known(json, "least_rank", it->lowest->number[OF_RANK]);
		if (places) {
			json_text(json, "place", it->part->place);
			json_text(json, "line", it->part->line);
			json_truth(json, "other_layers", it->layers);
			ranks_json("ranks", it->having, it->having_count, json);
			json_text(json, "sentence", text);
		}
		json_end(json);
		free(text);
	}
	json_end(json);
}

static void head_json(const struct job *job, struct json *json)
{
	const struct rollup *first = job_first_end(job), *median = job_median(job);

	json_object(json, "job");
	json_text(json, "name", job->name);
	json_known(json, "world_size", job->world);
	json_number(json, "traces", (int64_t)job->count);
	json_number(json, "hosts", (int64_t)job->hosts);
	json_array(json, "missing_ranks");
	for (size_t i = 0; i < job->missing_count; i++)
		json_number(json, NULL, job->missing[i]);
	json_end(json);
	json_known(json, "highest_rank",
	           job->peak_count ? job->peaks[0]->number[OF_RANK] : -1);
	json_known(json, "median_rank", median ? median->number[OF_RANK] : -1);
	json_known(json, "first_to_end", first ? first->number[OF_RANK] : -1);
	json_text(json, "first_to_end_trace", first ? first->path : NULL);
	json_number(json, "helpers", (int64_t)job->helpers);
	json_number(json, "earlier_traces", (int64_t)job->earlier);
	json_array(json, "others");
	for (size_t i = 0; i < job->other_count; i++) {
		json_object(json, NULL);
		json_text(json, "name", job->others[i].one->text[OF_JOB]);
		json_text(json, "trace", job->others[i].one->path);
		json_number(json, "traces", (int64_t)job->others[i].count);
		json_end(json);
	}
	json_end(json);
	json_array(json, "unreadable");
	for (size_t i = 0; i < job->unreadable_count; i++) {
		json_object(json, NULL);
		json_text(json, "trace", job->unreadable[i]->path);
		json_text(json, "why", job->unreadable[i]->why);
		json_end(json);
	}
	json_end(json);
	json_end(json);
}

static void groups_json(const struct job *job, struct json *json)
{
	size_t count;
	struct job_group *groups = job_groups(job, &count);

	json_array(json, "groups");
	for (size_t i = 0; i < count; i++) {
		json_object(json, NULL);
		json_text(json, "what", groups[i].what);
		json_text(json, "ranks", groups[i].ranks);
		json_end(json);
	}
	json_end(json);
	free(groups);
}

static void steps_json(const struct job *job, struct json *json)
{
	size_t count;
	int64_t steps;
	struct job_bin *bins = job_bins(job, &count, &steps);

	json_number(json, "steps_in_one", steps);
	json_array(json, "steps");
	for (size_t i = 0; i < count; i++) {
		if (!bins[i].highest)
			continue;
		json_object(json, NULL);
		json_number(json, "step", (int64_t)i * steps);
		json_number(json, "most_bytes", bins[i].most);
		json_number(json, "median_bytes", bins[i].median);
		json_known(json, "most_rank", bins[i].highest->number[OF_RANK]);
		json_end(json);
	}
	json_end(json);
	free(bins);
}

void job_json(const struct job *job, enum job_question question, struct json *json)
{
	struct spread spread;

	head_json(job, json);
	json_array(json, "ranks");
	for (size_t i = 0; i < job->count; i++)
		rank_json(job->ranks[i], json);
	json_end(json);
	if (question == JOB_REPORT || question == JOB_PEAK) {
		spread_buckets(job, &spread);
		spread_json("by_bucket", &spread, false, json);
		spread_free(&spread);
		spread_parts(job, &spread);
		spread_json("by_place", &spread, true, json);
		spread_free(&spread);
		groups_json(job, json);
	}
	if (question == JOB_TIMELINE)
		steps_json(job, json);
}
