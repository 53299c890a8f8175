/* merge.c - `tidemark merge`: the traces of a wide job as one, in Parquet.
 * Called from: main.c. */
#include "merge.h"

#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "fail.h"
#include "heap.h"
#include "screen.h"
#include "text.h"

static void print_merged(const struct job *job, const struct merged *merged,
                         const char *out, FILE *screen)
{
	fprintf(screen, "%s of %s are in '%s', written by %s\n\n",
	        text_plural((int64_t)job->count, "trace").s,
	        job->name ? job->name : "no job", out, merged->engine);
	for (size_t i = 0; i < merged->row_count; i++) {
		char *count = strchr(merged->rows[i], ' ');
		fprintf(screen, "  %-10.*s %14s\n", (int)(count - merged->rows[i]),
		        merged->rows[i], text_plural(atoll(count), "row").s);
	}
	fprintf(screen, "  summary.db  the job, its ranks and their spread\n");
	for (size_t i = 0; i < merged->failed_count; i++)
		fprintf(screen, "  %s\n", merged->failed[i]);
	for (size_t i = 0; i < job->unreadable_count; i++)
		fprintf(screen, "  left out: %s\n", job->unreadable[i]->why);
	if (!quiet)
		fprintf(screen,
		        "\n  %snext%s     duckdb -c \"SELECT rank, bucket, sum(bytes) "
		        "FROM "
		        "read_parquet('%s/live/*/*.parquet', hive_partitioning = true) "
		        "GROUP BY ALL ORDER BY ALL\"\n",
		        style(DIM), style(PLAIN), out);
}

static void json_merged(const struct job *job, const struct merged *merged,
                        const char *out, FILE *screen)
{
	struct json json;

	json_begin(&json, screen);
	json_head(&json, SCHEMA_USER_VERSION);
	json_text(&json, "folder", out);
	json_text(&json, "engine", merged->engine);
	json_text(&json, "job", job->name);
	json_number(&json, "traces", (int64_t)job->count);
	json_object(&json, "rows");
	for (size_t i = 0; i < merged->row_count; i++) {
		char *count = strchr(merged->rows[i], ' ');
		*count = 0;
		json_number(&json, merged->rows[i], atoll(count + 1));
	}
	json_end(&json);
	json_array(&json, "failed");
	for (size_t i = 0; i < merged->failed_count; i++)
		json_text(&json, NULL, merged->failed[i]);
	json_end(&json);
	json_array(&json, "unreadable");
	for (size_t i = 0; i < job->unreadable_count; i++)
		json_text(&json, NULL, job->unreadable[i]->why);
	json_end(&json);
	json_end(&json);
}

int cmd_merge(const struct options *options)
{
	const char *out = options->value[OPT_MERGE_OUTPUT];
	const char *python = options->value[OPT_MERGE_PYTHON];
	struct rollup_wish wish = {.step = -1};
	struct merged merged;
	struct job job;
	FILE *screen;
	bool failed;

	if (!options->count)
		fail(STATUS_USAGE, "name a folder with the traces of a job: 'tidemark "
		                   "merge FOLDER -o OUT'");
	if (!out || !*out)
		fail(STATUS_USAGE, "name the folder to be written: '-o OUT'");
	merge_refuse(out);
	job_read(options->words, options->count, &wish, &job);
	merge_write(&job, python ? python : "python3", out, &merged);
	failed = merged.failed_count;
	screen = screen_open();
	if (options->value[OPT_JSON])
		json_merged(&job, &merged, out, screen);
	else
		print_merged(&job, &merged, out, screen);
	merged_free(&merged);
	job_free(&job);
	return screen_close(screen) || failed ? STATUS_NO : STATUS_DONE;
}
