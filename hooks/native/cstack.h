/* cstack.h - the native frames of the calling thread.
 *
 * Unwinding is libunwind's, found at run time: linked in, its 36 _Unwind_* symbols
 * would take over C++ exceptions in the host. A stack seen before is not unwound again:
 * a per-thread cache keeps where each return address lay, and a stack whose return
 * addresses are all still there is the same stack.
 */
#ifndef TIDEMARK_HOOKS_CSTACK_H
#define TIDEMARK_HOOKS_CSTACK_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define TMK_C_DEPTH 128

struct tmk_c_stack {
	int depth;
	int truncated;        /* frames further out were left off */
	uint64_t hash, check; /* two independent hashes over all of pc[] */
	/* The interner's to fill: 0 until then. Kept while the stack stays cached, and
	 * 0 again whenever it does not: intern by (hash, check) when it is 0. */
	uint32_t id;
	/* Return addresses, innermost first, without this library's own innermost
	 * frames. They point behind the call: look up pc - 1. */
	const uint64_t *pc;
};

/* Loads libunwind. Off the hot path (it calls dlopen), any thread, any number of times.
 * Returns 0, or -ENOTSUP with the reason in why. */
int tmk_cstack_init(char *why, size_t n);

/* The calling thread's stack, or NULL: no libunwind, no memory for the cache (mapped at
 * the thread's first walk, 1.4 MiB of address space), or re-entered from a signal
 * handler. Owned by the thread's cache and valid until its next walk. Saves and
 * restores errno. */
struct tmk_c_stack *tmk_cstack_walk(void);

/* Walks that were left out because another thread's fork did not come to its end. */
extern _Atomic uint64_t tmk_cstack_left_out;

/* Unmaps the calling thread's cache; a later walk starts a new one. */
void tmk_cstack_thread_exit(void);
/* In a forked child: what this thread remembers is the parent's. */
void tmk_cstack_forked(void);

/* For tests. Verify: unwind at each hit too and compare. Counts are the calling
 * thread's. */
struct tmk_cstack_counts {
	uint64_t hits, misses, recorded;
	uint64_t refused; /* stacks that were not fit to be kept */
	uint64_t wrong;   /* hits that the unwinder contradicts, when verifying */
};
void tmk_cstack_verify(int on);
struct tmk_cstack_counts tmk_cstack_count(void);

#endif
