/* cunwind.h - libunwind behind two calls. For cstack.c. */
#ifndef TIDEMARK_HOOKS_CUNWIND_H
#define TIDEMARK_HOOKS_CUNWIND_H

#include <stddef.h>
#include <stdint.h>

/* Loads the library. 0, or -ENOTSUP with the reason in why. */
int tmk_cunwind_load(char *why, size_t n);

/* Return addresses from the caller's frame outwards; returns how many. Fast: libunwind
 * remembers per thread how to step from each address. May write errno. */
int tmk_cunwind_trace(void **pc, int size);

/* One frame: where it will go on, and the registers it has there. */
struct tmk_cunwind_frame {
	uint64_t pc; /* return address */
	uint64_t sp; /* behind the slot that holds it, in frames that keep to the ABI */
	uint64_t rbp;    /* what rbp will be */
	uint64_t rbp_at; /* the address where that was saved, or 0 */
};

/* The same one step at a time, with the registers: `count` frames, leaving out those
 * whose sp lies below `from`. Slow: 0.4 us a frame, and it takes libunwind's own lock.
 */
int tmk_cunwind_steps(struct tmk_cunwind_frame *f, int count, uint64_t from);

#endif
