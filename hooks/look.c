/* look.c - when the Python side is worth a look (enrich.c).
 * Called from: phase.c, on any thread. */
#include "look.h"

#include <stdatomic.h>
#include <stdint.h>

#include "emit.h"
#include "enrich.h"
#include "settings.h"

static atomic_bool asked;
static _Atomic uint32_t steps, backwards;

/* A child's trace is its own: it has its own first forward, and names from then on. */
void tmk_look_forked(void)
{
	atomic_store(&asked, false);
	atomic_store(&steps, 0);
	atomic_store(&backwards, 0);
	tmk_enrich_forked();
}

void tmk_look_forward(void)
{
	if (!atomic_load_explicit(&asked, memory_order_relaxed) &&
	    !atomic_exchange(&asked, true))
		tmk_enrich_ask();
}

/* State and gradients exist after the first step; afterwards seldom anything is new, and a
 * look at the powers of two finds it without a cost that grows with the run. Sooner where
 * more lives without a name than before. */
static void look(uint32_t n)
{
	if (atomic_load_explicit(&tmk_unnamed_grew, memory_order_relaxed) &&
	    atomic_exchange(&tmk_unnamed_grew, false))
		tmk_enrich_search();
	else if (!(n & (n - 1)) || tmk_settings.want_enrich == TMK_ENRICH_EACH)
		tmk_enrich_ask();
}

void tmk_look_step(void)
{
	look(atomic_fetch_add(&steps, 1) + 1);
}

/* Where nobody steps a backward is as good: what was not there in the first forward, or was
 * replaced for its time (torch.func.functional_call), is there after it. */
void tmk_look_backward(bool accumulate)
{
	if (atomic_load_explicit(&steps, memory_order_relaxed))
		return;
	uint32_t n = atomic_fetch_add(&backwards, 1) + 1;
	if (n > 1 || !accumulate) /* after the first one a step may come */
		look(n);
}
