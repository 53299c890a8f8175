/* merge.c - the traces of a job as Parquet, partitioned by rank, beside a summary in SQLite.
 *
 * Parquet is written by a library that the user's Python has (docs/dependencies.md); the script is
 * part of the command. The folder is made under another name, and gets its own when all of it is
 * there.
 * Called from: commands/merge.c. */
#include "merge.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"
#include "heap.h"
#include "job_answer.h"
#include "job_queries.h"
#include "text.h"

__asm__(".section .rodata\n"
        "parquet_py: .incbin \"" TIDEMARK_PARQUET_FILE "\"\n"
        ".byte 0\n"
        ".previous\n");
extern const char parquet_py[];

enum { NO_LIBRARY = 4, NOT_STARTED = 127 }; /* of the script, of the shell's custom */

static const struct {
	const char *name, *sql;
	const char *text; /* its columns that are no numbers */
} tables[] = {
        {"blocks", sql_merge_blocks,
         "device bucket rule phase died_phase module op shape dtype"},
        {"steps", sql_merge_steps, "device peak_phase"},
        {"live", sql_merge_live, "device phase bucket module op shape dtype"},
        {"samples", sql_merge_samples, "device"},
        {"oom", sql_merge_oom, "device phase source message"},
};

/* A path as JSON can hold it, whatever bytes it has: all but plain ones as %XX. */
static void path_json(const char *key, const char *path, struct json *json)
{
	char *text = allocate(3 * strlen(path) + 1), *to = text;

	for (; *path; path++) {
		unsigned char sign = (unsigned char)*path;
		if (isalnum(sign) || strchr("/._-", sign))
			*to++ = (char)sign;
		else
			to += sprintf(to, "%%%02X", sign);
	}
	json_text(json, key, text);
	free(text);
}

/* Where a trace can be read as one file: itself, or the copy of one that is written to. */
static void trace_json(const struct rollup *rank, struct json *json)
{
	struct trace *trace = trace_open(rank->path);

	json_object(json, NULL);
	json_known(json, "rank", rank->number[OF_RANK]);
	path_json("path", trace->path, json);
	json_end(json);
	trace_close(trace); /* a copy stays until the command ends */
}

static int wish(const struct job *job, const char *folder)
{
	/* glibc has memfd_create() from 2.27 on, the wheel is for 2.17 */
	int fd = (int)syscall(SYS_memfd_create, "wish", 0);
	FILE *out = fd < 0 ? NULL : fdopen(dup(fd), "w");
	struct json json;

	if (!out)
		fail(STATUS_UNREADABLE, "cannot merge: %s", strerror(errno));
	json_begin(&json, out);
	path_json("out", folder, &json);
	json_array(&json, "tables");
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		json_object(&json, NULL);
		json_text(&json, "name", tables[i].name);
		json_text(&json, "sql", tables[i].sql);
		json_text(&json, "text", tables[i].text);
		json_end(&json);
	}
	json_end(&json);
	json_array(&json, "traces");
	for (size_t i = 0; i < job->count; i++)
		trace_json(job->ranks[i], &json);
	json_end(&json);
	json_object(&json, "job");
	job_json(job, JOB_REPORT, &json);
	json_end(&json);
	json_end(&json);
	if (fclose(out))
		fail(STATUS_UNREADABLE, "cannot merge: %s", strerror(errno));
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static pid_t start(const char *python, int in, FILE **lines)
{
	int said[2];
	pid_t pid;

	if (pipe(said) || (pid = fork()) < 0)
		fail(STATUS_UNREADABLE, "cannot start a process: %s", strerror(errno));
	if (!pid) {
		dup2(in, STDIN_FILENO);
		dup2(said[1], STDOUT_FILENO);
		close(said[0]);
		close(said[1]);
		setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
		execlp(python, python, "-c", parquet_py, (char *)NULL);
		_exit(NOT_STARTED);
	}
	close(said[1]);
	close(in);
	*lines = fdopen(said[0], "r");
	if (!*lines)
		out_of_memory();
	return pid;
}

static void put(char ***list, size_t *count, size_t *room, char *text)
{
	*list = grow(*list, *count, room, sizeof(**list));
	(*list)[(*count)++] = text;
}

static void show(const char *done, size_t count, time_t began)
{
	if (!quiet && isatty(STDERR_FILENO) && time(NULL) >= began + 2)
		fprintf(stderr, "\rmerged %s of %s%s", done,
		        text_plural((int64_t)count, "trace").s,
		        (size_t)atoll(done) == count ? "\n" : "");
}

static void listen_to(FILE *lines, const struct job *job, struct merged *merged)
{
	char *line = NULL;
	size_t size = 0;
	time_t began = time(NULL);

	while (getline(&line, &size, lines) > 0) {
		char *rest = NULL, *word = strtok_r(line, "\t\n", &rest);
		char *one = strtok_r(NULL, "\t\n", &rest);
		char *other = strtok_r(NULL, "\t\n", &rest);
		if (!word || !one)
			continue;
		if (!strcmp(word, "engine") && !merged->engine)
			merged->engine = format_text("%s %s", one, other ? other : "");
		else if (!strcmp(word, "rows"))
			put(&merged->rows, &merged->row_count, &merged->row_room,
			    format_text("%s %s", one, other ? other : "0"));
		else if (!strcmp(word, "failed"))
			put(&merged->failed, &merged->failed_count,
			    &merged->failed_room,
			    format_text("not all of '%s' could be read: %s", one,
			                other ? other : ""));
		else if (!strcmp(word, "rank"))
			show(one, job->count, began);
	}
	free(line);
	fclose(lines);
}

void merge_refuse(const char *out)
{
	struct stat st;

	if (!lstat(out, &st))
		fail(STATUS_USAGE, "'%s' is there already; name a folder that is not",
		     out);
}

void merge_write(const struct job *job, const char *python, const char *out,
                 struct merged *merged)
{
	char *folder = format_text("%s.part-%d", out, (int)getpid());
	FILE *lines;
	int status, in;
	pid_t pid;

	*merged = (struct merged){0};
	if (mkdir(folder, 0777))
		fail(STATUS_USAGE, "cannot make the folder '%s': %s", out,
		     strerror(errno));
	in = wish(job, folder);
	pid = start(python, in, &lines);
	listen_to(lines, job, merged);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	if (status) {
		rmdir(folder); /* what is in it stays, to be looked at */
		if (status == NOT_STARTED)
			fail(STATUS_USAGE,
			     "cannot start '%s'; name a Python with --python", python);
		if (status == NO_LIBRARY)
			fail(STATUS_USAGE,
			     "'%s' has neither pyarrow nor duckdb, which write "
			     "Parquet: "
			     "'pip install pyarrow', or name another Python with "
			     "--python",
			     python);
		fail(STATUS_NO,
		     "'%s' could not write the tables; what there is of them "
		     "is in '%s'",
		     python, folder);
	}
	if (rename(folder, out))
		fail(STATUS_NO, "cannot call '%s' '%s': %s", folder, out,
		     strerror(errno));
	free(folder);
}

void merged_free(struct merged *merged)
{
	for (size_t i = 0; i < merged->row_count; i++)
		free(merged->rows[i]);
	for (size_t i = 0; i < merged->failed_count; i++)
		free(merged->failed[i]);
	free(merged->rows);
	free(merged->failed);
	free(merged->engine);
}
