/* workers.c - many traces, read in processes of their own, some files each.
 *
 * What ends a command on one trace (it is damaged, empty, no trace at all) ends that process: it is
 * said of that file, and another process goes on behind it. A process leaves the rollups in a file
 * in memory, and on its stderr why it could not go on.
 * Called from: job.c. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"
#include "heap.h"
#include "rollup.h"
#include "text.h"

/* ---- what goes from one process to the other ---------------------------------------------- */

enum { LONGEST = 1 << 20 }; /* of a text, and entries of a list */

static void write_number(int64_t number, FILE *to)
{
	fwrite(&number, sizeof(number), 1, to);
}

/* -1 stands for no text. */
static void write_text(const char *text, FILE *to)
{
	write_number(text ? (int64_t)strlen(text) : -1, to);
	if (text)
		fwrite(text, 1, strlen(text), to);
}

static bool read_number(int64_t *number, FILE *from)
{
	return fread(number, sizeof(*number), 1, from) == 1;
}

static bool read_text(char **text, FILE *from)
{
	int64_t length;

	*text = NULL;
	if (!read_number(&length, from) || length > LONGEST)
		return false;
	if (length < 0)
		return true;
	*text = allocate((size_t)length + 1);
	return fread(*text, 1, (size_t)length, from) == (size_t)length;
}

static bool read_count(size_t *count, FILE *from)
{
	int64_t number;

	*count = 0;
	if (!read_number(&number, from) || number < 0 || number > LONGEST)
		return false;
	*count = (size_t)number;
	return true;
}

void rollup_write(const struct rollup *rollup, FILE *to)
{
	for (int i = 0; i < ROLLUP_TEXTS; i++)
		write_text(rollup->text[i], to);
	for (int i = 0; i < ROLLUP_NUMBERS; i++)
		write_number(rollup->number[i], to);
	write_number((int64_t)rollup->part_count, to);
	for (size_t i = 0; i < rollup->part_count; i++) {
		const struct part *part = &rollup->parts[i];
		write_text(part->bucket, to);
		write_text(part->place, to);
		write_text(part->layers, to);
		write_text(part->line, to);
		write_number(part->bytes, to);
		write_number(part->blocks, to);
	}
	write_number((int64_t)rollup->group_count, to);
	for (size_t i = 0; i < rollup->group_count; i++) {
		write_text(rollup->groups[i].what, to);
		write_text(rollup->groups[i].ranks, to);
	}
	write_number((int64_t)rollup->step_count, to);
	for (size_t i = 0; i < rollup->step_count; i++)
		write_number(rollup->steps[i], to);
}

static bool read_parts(struct rollup *rollup, FILE *from)
{
	bool good = read_count(&rollup->part_count, from);

	rollup->parts = allocate((rollup->part_count + 1) * sizeof(*rollup->parts));
	for (size_t i = 0; i < rollup->part_count && good; i++) {
		struct part *part = &rollup->parts[i];
		good = read_text(&part->bucket, from) &&
		       read_text(&part->place, from) &&
		       read_text(&part->layers, from) && read_text(&part->line, from) &&
		       read_number(&part->bytes, from) &&
		       read_number(&part->blocks, from);
	}
	return good;
}

bool rollup_read(struct rollup *rollup, FILE *from)
{
	bool good = true;

	for (int i = 0; i < ROLLUP_TEXTS && good; i++)
		good = read_text(&rollup->text[i], from);
	for (int i = 0; i < ROLLUP_NUMBERS && good; i++)
		good = read_number(&rollup->number[i], from);
	good = good && read_parts(rollup, from) &&
	       read_count(&rollup->group_count, from);
	rollup->groups = allocate((rollup->group_count + 1) * sizeof(*rollup->groups));
	for (size_t i = 0; i < rollup->group_count && good; i++)
		good = read_text(&rollup->groups[i].what, from) &&
		       read_text(&rollup->groups[i].ranks, from);
	good = good && read_count(&rollup->step_count, from);
	rollup->steps = allocate((rollup->step_count + 1) * sizeof(*rollup->steps));
	for (size_t i = 0; i < rollup->step_count && good; i++)
		good = read_number(&rollup->steps[i], from);
	return good;
}

/* ---- processes ---------------------------------------------------------------------------- */

/* Files that one process reads: many, as a process costs as much as reading a small trace; not
 * all, as what it copies of living runs is gone when it ends. */
enum { BATCH = 32 };

struct batch {
	size_t first, count;
};

struct worker {
	pid_t pid; /* 0: free */
	struct batch batch;
	int answer, said; /* files in memory */
};

static int in_memory(const char *name)
{
	/* glibc has memfd_create() from 2.27 on, the wheel is for 2.17 */
	int fd = (int)syscall(SYS_memfd_create, name, MFD_CLOEXEC);

	if (fd < 0)
		fail(STATUS_UNREADABLE, "cannot read many traces: %s", strerror(errno));
	return fd;
}

static void work(char *const *files, const struct rollup_wish *wish,
                 const struct worker *worker)
{
	FILE *to = fdopen(worker->answer, "w");

	dup2(worker->said, STDERR_FILENO);
	quiet = true; /* what is said of a file is its one sentence */
	for (size_t i = 0; i < worker->batch.count; i++) {
		struct rollup rollup = {0};
		struct trace *trace;
		/* What was said of the file before is not of this one. */
		if (ftruncate(STDERR_FILENO, 0) || lseek(STDERR_FILENO, 0, SEEK_SET))
			exit(STATUS_UNREADABLE);
		trace = trace_open(files[worker->batch.first + i]);
		rollup_make(trace, wish, &rollup);
		rollup_write(&rollup, to);
		if (fflush(to))
			fail(STATUS_UNREADABLE, "there is no memory for its answer");
		rollup_free(&rollup);
		trace_close(trace);
	}
	exit(STATUS_DONE);
}

static void start(struct worker *worker, struct batch batch, char *const *files,
                  const struct rollup_wish *wish)
{
	worker->batch = batch;
	worker->answer = in_memory("rollups");
	worker->said = in_memory("said");
	fflush(stdout);
	worker->pid = fork();
	if (worker->pid < 0)
		fail(STATUS_UNREADABLE, "cannot start a process: %s", strerror(errno));
	if (!worker->pid)
		work(files, wish, worker);
}

/* The last line that a process said, without the command's name. */
static char *last_line(int fd)
{
	char text[2048] = "", *line, *end;
	ssize_t got = pread(fd, text, sizeof(text) - 1, 0);

	text[got > 0 ? got : 0] = 0;
	end = text + strlen(text);
	while (end > text && end[-1] == '\n')
		*--end = 0;
	line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	if (!strncmp(line, "tidemark: ", 10))
		line += 10;
	return *line ? copy_text(line) : NULL;
}

/* Reads what a process left. What it did not come to is a batch again. */
static struct batch finish(struct worker *worker, struct rollup *rollups)
{
	struct batch batch = worker->batch, rest = {0, 0};
	FILE *from;
	size_t done = 0;

	lseek(worker->answer, 0, SEEK_SET);
	from = fdopen(worker->answer, "r");
	while (from && done < batch.count) {
		struct rollup got = {0};
		if (!rollup_read(&got, from)) {
			rollup_free(&got);
			break;
		}
		got.path = rollups[batch.first + done].path;
		rollups[batch.first + done++] = got;
	}
	if (done < batch.count) {
		struct rollup *bad = &rollups[batch.first + done];
		bad->why = last_line(worker->said);
		if (!bad->why)
			bad->why = format_text("cannot read '%s': it ended the reader",
			                       bad->path);
		rest = (struct batch){batch.first + done + 1, batch.count - done - 1};
	}
	if (from)
		fclose(from);
	else
		close(worker->answer);
	close(worker->said);
	worker->pid = 0;
	return rest;
}

static int cores(void)
{
	cpu_set_t set;
	int count = sched_getaffinity(0, sizeof(set), &set) ? 2 : CPU_COUNT(&set);

	return count < 1 ? 1 : count > 16 ? 16 : count;
}

/* How far it is, where somebody looks on for longer than two seconds. */
static void show(size_t done, size_t count, time_t began, bool *shown)
{
	if (quiet || !isatty(STDERR_FILENO) || (time(NULL) < began + 2 && !*shown))
		return;
	*shown = true;
	fprintf(stderr, "\rread %s of %s%s", text_count((int64_t)done).s,
	        text_plural((int64_t)count, "trace").s, done == count ? "\n" : "");
}

static struct worker *worker_of(struct worker *workers, int count, pid_t pid)
{
	for (int i = 0; i < count; i++)
		if (workers[i].pid == pid)
			return &workers[i];
	return NULL;
}

/* All files as batches, small enough for every core to have some. */
static struct batch *batches_of(size_t files, int workers, size_t *count)
{
	size_t size = files / (size_t)workers;
	struct batch *batches = allocate((files + 1) * sizeof(*batches));

	size = size < 1 ? 1 : size > BATCH ? BATCH : size;
	*count = 0;
	for (size_t at = 0; at < files; at += size)
		batches[(*count)++] =
		        (struct batch){at, files - at < size ? files - at : size};
	return batches;
}

struct rollup *rollups_read(char *const *files, size_t count,
                            const struct rollup_wish *wish)
{
	struct rollup *rollups = allocate((count + 1) * sizeof(*rollups));
	int room = cores(), busy = 0;
	struct worker *workers = allocate((size_t)room * sizeof(*workers));
	size_t waiting, done = 0;
	/* The last is the next; a rest takes the place of what it is the rest of. */
	struct batch *batches = batches_of(count, room, &waiting);
	time_t began = time(NULL);
	bool shown = false;

	for (size_t i = 0; i < count; i++)
		rollups[i].path = copy_text(files[i]);
	while (waiting || busy) {
		struct worker *worker = worker_of(workers, room, 0);
		struct batch rest;
		pid_t pid;
		if (worker && waiting) {
			start(worker, batches[--waiting], files, wish);
			busy++;
			continue;
		}
		pid = waitpid(-1, NULL, 0);
		worker = pid > 0 ? worker_of(workers, room, pid) : NULL;
		if (!worker)
			continue;
		rest = finish(worker, rollups);
		busy--;
		done += worker->batch.count - rest.count;
		if (rest.count)
			batches[waiting++] = rest;
		show(done, count, began, &shown);
	}
	free(batches);
	free(workers);
	return rollups;
}
