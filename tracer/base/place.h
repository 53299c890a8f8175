/* place.h - where files may lie. */
#ifndef TIDEMARK_TRACER_PLACE_H
#define TIDEMARK_TRACER_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Expands %h, %p, %r and %% and makes the path absolute. Returns 0 or -ENAMETOOLONG. */
int tmk_place_expand(const char *pattern, char *path, size_t size);

/* Where `path` ends in '/' or is a folder: makes it, if need be, and appends `name`, expanded. 0 or
 * -errno. */
int tmk_place_inside(char *path, size_t size, const char *name);

/* Is the folder of `path` on a file system shared over a network, where neither SQLite's
 * write-ahead log nor a shared mapping can be trusted? */
bool tmk_place_is_network(const char *path);
/* ... by the number that statfs(2) gives the file system's kind. */
bool tmk_place_type_is_network(uint32_t type);

/* Creates a new file, 0600, failing where anything of that name exists, be it a dangling
 * link. Returns a descriptor or -errno. */
int tmk_place_create(const char *path);

/* The same file under a number above 2, the other closed: a program that runs with its
 * standard output closed must not print into ours. Takes -1, too. */
int tmk_place_above_stdio(int fd);

/* Reserves blocks as posix_fallocate does; 0 or -errno. Beyond RLIMIT_FSIZE that is
 * -EFBIG, where the call itself would have the kernel send SIGXFSZ. */
int tmk_place_reserve(int fd, off_t at, off_t size);

/* Which file a descriptor stood for when it was opened. A program may close numbers that
 * are not its own (a daemon closes all of them), and open its files with them. */
struct tmk_file {
	uint64_t device, inode; /* 0, 0: none */
};
void tmk_file_note(struct tmk_file *file, int fd);
bool tmk_file_is(const struct tmk_file *file, int fd);
/* In a forked child: closes *fd if it is that file, and makes it -1. */
void tmk_file_close_in_child(const struct tmk_file *file, int *fd);

#endif
