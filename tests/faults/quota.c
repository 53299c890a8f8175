/* quota.c - a preload: a disk quota. What is written and reserved in files whose path has
 * QUOTA_UNDER in it, QUOTA_BYTES in all, and from then on EDQUOT. And a slow disk: each such
 * write waits QUOTA_DELAY milliseconds first. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static bool counted(int fd)
{
	char link[32], path[4096];
	const char *under = getenv("QUOTA_UNDER");
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = under ? readlink(link, path, sizeof(path) - 1) : -1;
	path[n < 0 ? 0 : n] = 0;
	return n > 0 && strstr(path, under);
}

static bool exceeded(int fd, size_t bytes)
{
	static _Atomic long long used;
	const char *most = getenv("QUOTA_BYTES");
	const char *delay = getenv("QUOTA_DELAY");
	if (!counted(fd))
		return false;
	if (delay)
		usleep((useconds_t)atoi(delay) * 1000);
	if (atomic_fetch_add(&used, (long long)bytes) + (long long)bytes <=
	    (most ? atoll(most) : 0))
		return false;
	atomic_fetch_sub(&used, (long long)bytes);
	return true;
}

ssize_t write(int fd, const void *data, size_t bytes)
{
	ssize_t (*real)(int, const void *, size_t) =
	        (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
	if (exceeded(fd, bytes)) {
		errno = EDQUOT;
		return -1;
	}
	return real(fd, data, bytes);
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t at)
{
	ssize_t (*real)(int, const void *, size_t, off64_t) =
	        (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT,
	                                                              "pwrite64");
	if (exceeded(fd, bytes)) {
		errno = EDQUOT;
		return -1;
	}
	return real(fd, data, bytes, at);
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at)
{
	return pwrite64(fd, data, bytes, at);
}

int posix_fallocate64(int fd, off64_t at, off64_t bytes)
{
	int (*real)(int, off64_t, off64_t) =
	        (int (*)(int, off64_t, off64_t))dlsym(RTLD_NEXT, "posix_fallocate64");
	return exceeded(fd, (size_t)bytes) ? EDQUOT : real(fd, at, bytes);
}

int posix_fallocate(int fd, off_t at, off_t bytes)
{
	return posix_fallocate64(fd, at, bytes);
}

int fallocate64(int fd, int mode, off64_t at, off64_t bytes)
{
	int (*real)(int, int, off64_t, off64_t) =
	        (int (*)(int, int, off64_t, off64_t))dlsym(RTLD_NEXT, "fallocate64");
	if (!(mode & FALLOC_FL_PUNCH_HOLE) && exceeded(fd, (size_t)bytes)) {
		errno = EDQUOT;
		return -1;
	}
	return real(fd, mode, at, bytes);
}

int fallocate(int fd, int mode, off_t at, off_t bytes)
{
	return fallocate64(fd, mode, at, bytes);
}
