/* pystack.h - the Python frames of the calling thread, read without the GIL.
 *
 * A thread that is inside a C call cannot change its own frames, and the frames hold
 * references to their code objects, so plain reads are safe on the thread itself and
 * nowhere else. Nothing here takes the GIL, touches a reference count, allocates,
 * blocks or does I/O. CPython 3.8 to 3.14, not free-threaded.
 */
#ifndef TIDEMARK_HOOKS_PYSTACK_H
#define TIDEMARK_HOOKS_PYSTACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pytext.h"

#define TMK_PY_DEPTH 128

struct tmk_py_stack {
	int depth;
	int truncated; /* frames further out were left off */
	int uncertain; /* one has something else for its code: it was passed over */
	/* Two independent hashes over (key, where) of all frames; 0, 0 when depth is 0.
	 * Stable within the process only: str hashes are seeded. */
	uint64_t hash, check;
	const void *module; /* innermost nn.Module being called, borrowed; or NULL */
	const void *module_type; /* its type object */
	int module_at; /* its frame, of all there are, counted from the innermost */
	struct tmk_py_frame frame[TMK_PY_DEPTH]; /* innermost first */
};

/* What is asked of a stack at each event. */
struct tmk_py_known {
	uint32_t id; /* as tmk_pystack_remember was told; 0: no Python here */
	const void *module, *module_type; /* as in tmk_py_stack */
	uint64_t print; /* for tmk_pystack_remember; 0: not fit to be remembered */
};

/* Finds the interpreter and its layout. Off the hot path (it calls dlsym), any thread,
 * any number of times; the first success counts. Returns 0, or -ENOTSUP with the reason
 * in why: no Python in the process, an unknown version, a free-threaded build. */
int tmk_pystack_init(char *why, size_t n);

/* Has this stack been remembered? Then out says all of it, else only its print. True, and
 * all 0, where the thread runs no Python. One look at every frame's code and instruction;
 * when a code dies all are forgotten, and so are those of another generation. */
bool tmk_pystack_known(struct tmk_py_known *out, uint32_t generation);

/* Remembers a stack that is not known, or without its number, which may be 0. */
void tmk_pystack_remember(const struct tmk_py_known *k, const struct tmk_py_stack *s,
                          uint32_t id);

/* Walks the calling thread's frames; returns out->depth. 0 where the thread runs no
 * Python or the walker is off. */
int tmk_pystack_walk(struct tmk_py_stack *out);

/* The class name of a module just walked; "" for NULL. Returns buf. */
const char *tmk_pystack_class(const void *module, char *buf, size_t n);

#endif
