/* gradmode.h - is gradient mode on? Asked at every event. */
#ifndef TIDEMARK_HOOKS_GRADMODE_H
#define TIDEMARK_HOOKS_GRADMODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Which bit of a thread's c10::AutogradState it is. */
struct tmk_grad_flag {
	int32_t at;
	_Atomic uint8_t bit; /* 0: not known */
};
extern struct tmk_grad_flag tmk_grad_flag;
extern __thread const volatile uint8_t *tmk_grad_state
        __attribute__((tls_model("initial-exec")));

/* Finds where torch keeps the answer, once its functions are resolved. On a thread of the
 * program, whose mode it leaves as it was. */
void tmk_gradmode_find(void);

/* For a thread's first time, and where torch has to be asked. */
bool tmk_gradmode_ask(void);

/* c10::GradMode of this thread; on where torch can't be asked. */
static inline bool tmk_gradmode(void)
{
	const volatile uint8_t *state = tmk_grad_state;
	if (__builtin_expect(!state, 0))
		return tmk_gradmode_ask();
	return state[tmk_grad_flag.at] &
	       atomic_load_explicit(&tmk_grad_flag.bit, memory_order_relaxed);
}

#endif
