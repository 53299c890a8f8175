/* nolocks.c - a preload: a file system without locks, as Lustre without -o flock.
 * NOLOCKS says which are refused with ENOLCK: "posix", or "all" with the locks of an open
 * file description and flock(). NOLOCKS_DELAY: milliseconds until the answer comes, as from a
 * server that is busy. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static bool all(void)
{
	const char *text = getenv("NOLOCKS");
	return text && !strcmp(text, "all");
}

static bool refused(int command, const struct flock *lock)
{
	if (command == F_SETLK || command == F_SETLKW)
		return lock->l_type != F_UNLCK;
	if (command == F_OFD_SETLK || command == F_OFD_SETLKW)
		return all() && lock->l_type != F_UNLCK;
	return command == F_OFD_GETLK && all();
}

/* Sets errno. */
static int refuse(void)
{
	const char *delay = getenv("NOLOCKS_DELAY");
	if (delay)
		usleep((useconds_t)atoi(delay) * 1000);
	errno = ENOLCK;
	return -1;
}

typedef int fcntl_fn(int, int, ...);

static int control(const char *name, int fd, int command, void *argument)
{
	fcntl_fn *real = (fcntl_fn *)dlsym(RTLD_NEXT, name);
	if (refused(command, argument))
		return refuse();
	return real(fd, command, argument);
}

#define FCNTL(name)                                                                    \
	int name(int fd, int command, ...)                                             \
	{                                                                              \
		va_list rest;                                                          \
		va_start(rest, command);                                               \
		void *argument = va_arg(rest, void *);                                 \
		va_end(rest);                                                          \
		return control(#name, fd, command, argument);                          \
	}

int fcntl64(int fd, int command, ...);
FCNTL(fcntl)
FCNTL(fcntl64)

int flock(int fd, int operation)
{
	int (*real)(int, int) = (int (*)(int, int))dlsym(RTLD_NEXT, "flock");
	if (all() && !(operation & LOCK_UN))
		return refuse();
	return real(fd, operation);
}
