/* caller.h - where a function is defined more than once: which one is this caller's? */
#ifndef TIDEMARK_HOOKS_CALLER_H
#define TIDEMARK_HOOKS_CALLER_H

#include <stdbool.h>

struct tmk_frame { /* what a frame pointer points to */
	const struct tmk_frame *up;
	const char *back; /* the return address */
};

/* Who called our wrapper; NULL where the frames do not tell. */
const char *tmk_caller(const struct tmk_frame *frame);

/* An address in this library. */
bool tmk_is_ours(const void *address);

/* The function that code at `caller` would have been bound to by its own dependencies, or the
 * first that was loaded; NULL if there is none. symbols: its names, the last is NULL. Any
 * thread; the loader's list is walked once per function and calling object. */
void *tmk_caller_function(unsigned field, const char *const *symbols,
                          const char *caller);

/* Something was loaded: an address may belong to another object now. */
void tmk_caller_forget(void);

#endif
