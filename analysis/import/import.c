/* import.c - a memory snapshot of PyTorch's as a trace: lines in, rows out.
 * Called from: commands/import.c. */
#include "import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"
#include "heap.h"
#include "lines.h"
#include "python_child.h"

enum { MOST_NUMBERS = 1 << 30 };
#define MOST_BYTES ((int64_t)1 << 62)
#define MOST_BLOCK ((int64_t)1 << 50) /* of one block: a thousand times any card */
#define MOST_US    (INT64_MAX / 1000)

struct import {
	struct lines lines;
	struct build *build;
	struct about *about;
	char **texts;
	int64_t text_count;
	size_t text_room;
	int64_t latest_ns, total;
	bool ended;
};

static int64_t time_ns(struct import *import)
{
	int64_t ns = 1000 * lines_number(&import->lines, 0, MOST_US);

	if (ns < import->latest_ns)
		lines_wrong(&import->lines, "has a number that is not possible");
	import->latest_ns = ns;
	return ns;
}

static int64_t reference(struct import *import, int64_t least, int64_t count)
{
	return lines_number(&import->lines, least, count);
}

static void read_stacks(struct import *import, struct born *born)
{
	born->python_stack = reference(import, 0, build_stacks(import->build));
	born->native_stack = reference(import, 0, build_stacks(import->build));
}

static void read_text(struct import *import)
{
	import->texts = grow(import->texts, (size_t)import->text_count,
	                     &import->text_room, sizeof(*import->texts));
	import->texts[import->text_count++] = copy_text(lines_rest(&import->lines));
}

static void read_frame(struct import *import)
{
	bool native = reference(import, 0, 1);
	int64_t function = reference(import, 1, import->text_count);
	int64_t file = reference(import, 1, import->text_count);
	int64_t line = lines_number(&import->lines, 0, INT32_MAX);

	if (!import->lines.why)
		build_frame(import->build, native, import->texts[function - 1],
		            import->texts[file - 1],
		            native || !line ? INT64_MIN : line);
}

static void read_stack(struct import *import)
{
	int64_t parent = reference(import, 0, build_stacks(import->build));
	int64_t frame = reference(import, 1, build_frames(import->build));

	if (!import->lines.why)
		build_stack(import->build, parent, frame);
}

static struct born read_place(struct import *import)
{
	struct born born = {.requested = -1, .bucket = -1};

	born.device = (int32_t)lines_number(&import->lines, 0, BUILD_DEVICES - 1);
	born.time_ns = time_ns(import);
	return born;
}

/* Of a block or a segment. All of them together have room in a number. */
static int64_t size(struct import *import)
{
	int64_t bytes = lines_number(&import->lines, 1, MOST_BLOCK);

	import->total += bytes;
	if (import->total > MOST_BYTES)
		lines_wrong(&import->lines, "has a number that is not possible");
	return bytes;
}

static void read_block(struct import *import)
{
	struct born born = read_place(import);

	born.address = lines_number(&import->lines, 0, MOST_BYTES);
	born.bytes = size(import);
	born.requested = lines_number(&import->lines, -1, MOST_BYTES);
	read_stacks(import, &born);
	born.bucket = lines_number(&import->lines, -1, 8);
	if (!import->lines.why)
		build_block(import->build, &born);
}

static void read_segment(struct import *import)
{
	struct born born = read_place(import);
	bool piece;

	born.address = lines_number(&import->lines, 0, MOST_BYTES);
	born.bytes = size(import);
	piece = reference(import, 0, 1);
	if (!import->lines.why)
		build_segment(import->build, &born, piece);
}

static void read_end_of(struct import *import, bool block)
{
	int64_t number = lines_number(&import->lines, 1, MOST_NUMBERS),
	        ns = time_ns(import);

	if (import->lines.why)
		return;
	if (!(block ? build_freed : build_given)(import->build, number, ns))
		lines_wrong(&import->lines, "frees a block that is not there");
}

static void read_refusal(struct import *import)
{
	struct born born = read_place(import);
	int64_t device_free;

	born.bytes = lines_number(&import->lines, 0, MOST_BYTES);
	device_free = lines_number(&import->lines, -1, MOST_BYTES);
	read_stacks(import, &born);
	if (!import->lines.why)
		build_refused(import->build, &born, device_free);
}

static void read_fact(struct import *import)
{
	const char *name = lines_word(&import->lines);
	int64_t number = lines_number(&import->lines, 0, MOST_US);

	if (!strcmp(name, "started_us"))
		import->about->started_ns = 1000 * number;
	else if (!strcmp(name, "before"))
		import->about->before = number;
	else if (!strcmp(name, "cut"))
		import->about->cut = number;
	else if (!strcmp(name, "late"))
		import->about->late = number;
	else if (!strcmp(name, "annotated"))
		import->about->annotated = number;
	else if (!strcmp(name, "history"))
		import->about->history = number;
	else if (!strcmp(name, "rounded"))
		import->about->rounded = number;
}

static void read_line(struct import *import, char kind, char *why, size_t size)
{
	int64_t phase;

	if (kind == 'T')
		read_text(import);
	else if (kind == 'F')
		read_frame(import);
	else if (kind == 'K')
		read_stack(import);
	else if (kind == 'B')
		read_block(import);
	else if (kind == 'X' || kind == 'N')
		read_end_of(import, kind == 'X');
	else if (kind == 'M')
		read_segment(import);
	else if (kind == 'O')
		read_refusal(import);
	else if (kind == 'I')
		read_fact(import);
	else if (kind == 'P') {
		phase = lines_number(&import->lines, 0, 9);
		build_phase(import->build, phase, time_ns(import));
	} else if (kind == 'S')
		build_step(import->build, time_ns(import));
	else if (kind == '.')
		import->ended = lines_number(&import->lines, 0, INT64_MAX) ==
		                import->lines.count - 1;
	else if (kind == '!') {
		snprintf(why, size, "%s", lines_rest(&import->lines));
		lines_wrong(&import->lines, why);
	} else
		lines_wrong(&import->lines, "could not be read: its reader gave an "
		                            "answer of the wrong form");
}

/* On a terminal, what takes seconds says so. */
static void show_progress(const struct import *import, time_t began, bool *told)
{
	long waited = (long)(time(NULL) - began);

	if (import->lines.count % (1 << 16) || waited < 2 || quiet ||
	    !isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\rtidemark: importing %lld blocks … %ld s ",
	        (long long)build_blocks(import->build), waited);
	*told = true;
}

const char *import_lines(FILE *from, struct build *build, struct about *about,
                         char *why, size_t size)
{
	struct import import = {.lines.from = from, .build = build, .about = about};
	time_t began = time(NULL);
	const char *wrong;
	bool told = false;
	char kind;

	while (!import.ended && (kind = lines_next(&import.lines))) {
		read_line(&import, kind, why, size);
		show_progress(&import, began, &told);
	}
	if (told)
		fputs("\r\033[K", stderr);
	wrong = import.lines.why;
	if (!wrong && !import.ended)
		wrong = "";
	for (int64_t i = 0; i < import.text_count; i++)
		free(import.texts[i]);
	free(import.texts);
	lines_free(&import.lines);
	return wrong;
}

static int open_snapshot(const char *snapshot, struct stat *st)
{
	int file = open(snapshot, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (file < 0 || fstat(file, st))
		fail(STATUS_UNREADABLE, "cannot read '%s': %s", snapshot,
		     strerror(errno));
	if (!S_ISREG(st->st_mode))
		fail(STATUS_UNREADABLE, "'%s' is not a file but %s; name a snapshot",
		     snapshot, S_ISDIR(st->st_mode) ? "a folder" : "something special");
	if (!st->st_size)
		fail(STATUS_UNREADABLE, "cannot import '%s': it is empty", snapshot);
	return file;
}

struct built import_snapshot(const char *snapshot, const char *python, const char *name,
                             const char *path, struct about *about)
{
	struct stat st;
	int file = open_snapshot(snapshot, &st);
	struct snapshot_child child =
	        snapshot_start(python, file, (long long)st.st_size);
	struct build *build = build_new(name, path);
	char why[512];
	const char *wrong = import_lines(child.lines, build, about, why, sizeof(why)),
	           *ended;

	close(file);
	ended = snapshot_end(&child);
	if (wrong && !*wrong)
		wrong = ended ? ended : "could not be read: its reader ended too early";
	if (wrong)
		fail(STATUS_UNREADABLE, "cannot import '%s': it %s", snapshot, wrong);
	return build_done(build, about);
}
