/* python_child.c - the Python that reads a snapshot, with little memory and little time.
 *
 * Its programs, reader.py and snapshot.py, are part of this command. It imports nothing of the
 * user's (-I, -S), has no environment, no file but the snapshot, and ends by itself: a pickle has
 * no loop, and what memory and time a sound one takes grows with its bytes.
 * Called from: import.c. */
#include "python_child.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fail.h"
#include "heap.h"
#include "launch.h"

__asm__(".section .rodata\n"
        "snapshot_py: .incbin \"" TIDEMARK_READER_FILE "\"\n"
        ".incbin \"" TIDEMARK_SNAPSHOT_FILE "\"\n"
        ".byte 0\n"
        ".previous\n");
extern const char snapshot_py[];

/* Seen with CPython 3.8 to 3.14: it begins with less than 60 MiB of address space; a dictionary of
 * an event takes six or seven times its bytes in the pickle, which takes a sixteenth in gzip. */
enum {
	MEMORY_MIB = 256,
	MEMORY_TIMES = 10,
	ZIPPED = 16,
	SECONDS = 2,
	BYTES_A_SECOND = 500000
};

static void bound(int resource, rlim_t limit)
{
	setrlimit(resource, &(struct rlimit){limit, limit});
}

static void become(const char *python, const char *bytes, int file, int out,
                   rlim_t size)
{
	const char *const empty[] = {"LC_ALL=C.UTF-8", "PYTHONUTF8=1", NULL};
	const char *const words[] = {"python", "-I",        "-S",  "-X", "utf8",
	                             "-c",     snapshot_py, bytes, NULL};
	char magic[2];

	dup2(file, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	close(STDERR_FILENO);
	open("/dev/null", O_WRONLY);
	for (int fd = 3; fd < 256; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	bound(RLIMIT_CORE, 0);
	bound(RLIMIT_FSIZE, 0);
	if (pread(file, magic, 2, 0) == 2 && !memcmp(magic, "\x1f\x8b", 2))
		size *= ZIPPED;
	bound(RLIMIT_AS, ((rlim_t)MEMORY_MIB << 20) + MEMORY_TIMES * size);
	bound(RLIMIT_CPU, SECONDS + size / BYTES_A_SECOND);
	execve(python, (char *const *)words, (char *const *)empty);
	_exit(NOT_FOUND);
}

struct snapshot_child snapshot_start(const char *python, int file, long long bytes)
{
	struct snapshot_child child = {.pid = -1};
	char *size = format_text("%lld", bytes), *path;
	int ends[2], status;

	path = launch_lookup(python ? python : "python3", &status);
	if (!path)
		fail(STATUS_USAGE,
		     "'import' has Python read the pickle, and there is no '%s'; "
		     "name one with --python",
		     python ? python : "python3");
	if (pipe2(ends, O_CLOEXEC))
		fail(STATUS_NO, "cannot make a pipe");
	child.pid = fork();
	if (!child.pid)
		become(path, size, file, ends[1], (rlim_t)bytes);
	close(ends[1]);
	child.lines = fdopen(ends[0], "r");
	if (child.pid < 0 || !child.lines)
		fail(STATUS_NO, "cannot start '%s'", path);
	free(path);
	free(size);
	return child;
}

const char *snapshot_end(struct snapshot_child *child)
{
	int status = -1;

	fclose(child->lines);
	waitpid(child->pid, &status, 0);
	if (WIFSIGNALED(status) &&
	    (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL))
		return "takes longer to read than a snapshot of its size does";
	if (WIFSIGNALED(status))
		return "makes Python end when it reads it";
	if (WEXITSTATUS(status) == NOT_FOUND)
		return "cannot be read: that Python does not start";
	return status ? "cannot be read: Python has failed" : NULL;
}
