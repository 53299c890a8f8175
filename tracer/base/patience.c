/* patience.c - see patience.h.
 * Called from: emit.c, session.c and latch.c, on any thread that is in a hook. */
#include "patience.h"

#include <stdatomic.h>
#include <time.h>

#include "clock.h"

enum { FIFTH = 200000 }; /* us */
static _Atomic uint32_t waited;

uint32_t tmk_patience(void)
{
	uint32_t w = atomic_load_explicit(&waited, memory_order_relaxed);
	return w < FIFTH ? FIFTH - w : 0;
}

bool tmk_patience_nap(uint32_t ns)
{
	const struct timespec nap = {.tv_nsec = ns};
	if (!tmk_patience())
		return false;
	uint64_t since = tmk_clock_ns();
	nanosleep(&nap, NULL);
	uint64_t slept = (tmk_clock_ns() - since + 999) / 1000;
	/* Each adds a fifth at most and only below one: it cannot wrap. */
	atomic_fetch_add(&waited, slept < FIFTH ? (uint32_t)slept : FIFTH);
	return true;
}

void tmk_patience_forked(void)
{
	atomic_store(&waited, 0);
}
