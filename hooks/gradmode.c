/* gradmode.c - gradient mode, read where torch keeps it.
 *
 * Asking GradMode::is_enabled at every event brings back the code and data of four functions
 * in two libraries. But the state it reads stays where it is for as long as its thread lives,
 * and which bit of it is meant shows when the mode is set and set back.
 * Called from: phase.c, on any thread; the search from prepare.c. */
#include "gradmode.h"

#include "hot.h"
#include "real.h"

/* c10::AutogradState is a byte of flags in 2.8, in 2.11 it has 24 bytes before them. */
enum { REACH = 32 };

TMK_HOT_DATA struct tmk_grad_flag tmk_grad_flag;
__thread const volatile uint8_t *tmk_grad_state
        __attribute__((tls_model("initial-exec")));

/* The one bit that is on in `on` and off in `off`; 0 if any other differs. */
static uint8_t only_bit(const uint8_t *on, const uint8_t *off, int *at)
{
	uint8_t bit = 0;
	for (int i = 0; i < REACH; i++) {
		uint8_t differ = on[i] ^ off[i];
		if (!differ)
			continue;
		if (bit || differ & (differ - 1) || !(on[i] & differ))
			return 0;
		bit = differ;
		*at = i;
	}
	return bit;
}

/* A thread's state may be followed by nothing of its own, but never by the end of its page:
 * it lies among other variables of libc10's threads. */
static __attribute__((no_sanitize_address)) void copy(uint8_t *to,
                                                      const volatile uint8_t *from)
{
	for (int i = 0; i < REACH; i++)
		to[i] = from[i];
}

void tmk_gradmode_find(void)
{
	if (!tmk_real.grad_mode || !tmk_real.set_grad_mode || !tmk_real.autograd_state)
		return;
	const volatile uint8_t *here = tmk_real.autograd_state();
	const bool mode = tmk_real.grad_mode();
	uint8_t on[REACH], off[REACH];
	tmk_real.set_grad_mode(true);
	copy(on, here);
	tmk_real.set_grad_mode(false);
	copy(off, here);
	tmk_real.set_grad_mode(mode);
	int at = 0;
	uint8_t bit = only_bit(on, off, &at);
	if (!bit || !!(here[at] & bit) != mode)
		return;
	tmk_grad_flag.at = at;
	atomic_store_explicit(&tmk_grad_flag.bit, bit, memory_order_release);
}

bool tmk_gradmode_ask(void)
{
	if (atomic_load_explicit(&tmk_grad_flag.bit, memory_order_acquire))
		tmk_grad_state = tmk_real.autograd_state();
	return tmk_real.grad_mode ? tmk_real.grad_mode() : true;
}
