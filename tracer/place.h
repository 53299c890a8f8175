/* place.h - where files may lie. */
#ifndef TMK_PLACE_H
#define TMK_PLACE_H

#include <stdbool.h>
#include <stddef.h>

/* Expands %h, %p, %r and %% and makes the path absolute. Returns 0 or -ENAMETOOLONG. */
int tmk_place_expand(const char *pattern, char *path, size_t size);

/* Is the folder of `path` on a file system shared over a network, where neither SQLite's
 * write-ahead log nor a shared mapping can be trusted? */
bool tmk_place_is_network(const char *path);

/* Creates a new file, 0600, failing where anything of that name exists, be it a dangling
 * link. Returns a descriptor or -errno. */
int tmk_place_create(const char *path);

#endif
