/* killer.c - a preload for readers: just before the KILL_AT-th change that a process makes
 * to a file, SIGKILL for its whole group. KILL_COUNT names a file that gets a byte for each
 * change. */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static void change(void)
{
	static atomic_int changes;
	const char *at = getenv("KILL_AT"), *count = getenv("KILL_COUNT");
	int n = atomic_fetch_add(&changes, 1) + 1;
	if (at && atoi(at) == n)
		kill(0, SIGKILL);
	int fd = count ? open(count, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
	if (fd < 0)
		return;
	if (write(fd, ".", 1) != 1)
		abort();
	close(fd);
}

#define CHANGES(type, name, parameters, arguments)                                     \
	type name parameters                                                           \
	{                                                                              \
		static type(*real) parameters;                                         \
		if (!real)                                                             \
			real = (type(*) parameters)dlsym(RTLD_NEXT, #name);            \
		change();                                                              \
		return real arguments;                                                 \
	}

CHANGES(int, unlink, (const char *path), (path))
CHANGES(int, ftruncate64, (int fd, off64_t size), (fd, size))
CHANGES(int, ftruncate, (int fd, off_t size), (fd, size))
CHANGES(int, fsync, (int fd), (fd))
CHANGES(int, fdatasync, (int fd), (fd))
CHANGES(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at),
        (fd, data, size, at))
CHANGES(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at),
        (fd, data, size, at))
