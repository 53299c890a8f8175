/* stacks.h - numbers for where an event happened: Python stack, native stack, module,
 * shape. Sends a definition before it hands out a new number. Hooked thread, under the
 * guard; takes no lock, never the GIL. */
#ifndef TIDEMARK_HOOKS_STACKS_H
#define TIDEMARK_HOOKS_STACKS_H

#include <stdint.h>

struct tmk_where {
	uint32_t python, native, module, op, shape;
	int64_t requested; /* bytes; -1 not known */
};

void tmk_stacks_init(void);

/* Where this thread is, and the tensor it is making; `bytes` is the block. */
void tmk_where_now(struct tmk_where *w, int64_t bytes);

/* The module this thread's Python is in, 0 if none. */
uint32_t tmk_module_now(void);

#endif
