/* recover.h - finishing the trace of a process that was killed, or reading along. */
#ifndef TMK_RECOVER_H
#define TMK_RECOVER_H

#include <stddef.h>

/* See tidemark_recover() in tidemark.h: 0 done, 1 nothing to do, 2 the owner is alive and
 * `into` is NULL, < 0 failed with a sentence in message. */
int tmk_recover(const char *trace, const char *into, char *message, size_t size);

#endif
