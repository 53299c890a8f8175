/* patience.h - how long the program has waited for us inside a hook, perhaps under the caching
 * allocator's lock: a fifth of a second in all, for all of its threads together and for as long as
 * it runs. After that nothing waits there: what has no room, or is not to be had, is left out and
 * counted. A forked child has a fifth of its own. Any thread; no lock. */
#ifndef TIDEMARK_TRACER_PATIENCE_H
#define TIDEMARK_TRACER_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

/* Microseconds that may still be waited; 0: none. */
uint32_t tmk_patience(void);

/* One nap of `ns`, at most a second, which is taken off by the clock; false, without a nap, when
 * nothing is left. */
bool tmk_patience_nap(uint32_t ns);

/* In a forked child, which has one thread. */
void tmk_patience_forked(void);

#endif
