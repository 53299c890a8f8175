/* values.h - what the host finds when it reads one value that a kernel should have
 * computed. TIDEMARK_SIM_VALUES: `plausible` goes by the kernel, `memory` gives what lies
 * there, `zero` and `nan` say themselves. */
#ifndef TIDEMARK_SIMULATOR_VALUES_H
#define TIDEMARK_SIMULATOR_VALUES_H

#include <stddef.h>
#include <stdint.h>

enum tmksim_trait {
	TMKSIM_UNCLASSIFIED,
	TMKSIM_ORDINARY, /* an integer, a flag that is down: zero */
	TMKSIM_TRUE,     /* "are all...", "is finite": a flag that is up */
	TMKSIM_FLOAT,    /* a loss, a norm: one */
	TMKSIM_NONZERO,  /* counts what is not zero: decides a size */
	TMKSIM_MOST,     /* the greatest of integers: how large what was gathered is */
	TMKSIM_SPIN,     /* keeps its stream busy for a number of cycles, on purpose */
	TMKSIM_EXTENT,   /* another size: unique values, repeats, bins */
};

/* What a kernel computes, by its (mangled) name. */
enum tmksim_trait tmksim_classify(const char *kernel);

/* The calling thread launched a kernel. */
void tmksim_launched(enum tmksim_trait trait, const char *kernel, void **arguments);

/* The calling thread copied `bytes` from the device to `to`: replaces a single value that
 * the thread's last kernel computed. What a collective delivered stays, unless
 * that kernel computes what a host is likely to ask for: it may have reused the place. */
void tmksim_value_read(void *to, const void *from, size_t bytes);
/* What the thread's next reads of 4 or 8 bytes will find, in order: sizes that follow from
 * values which are known (simulator/with/tidemark_known). count 0: no longer; -1: sizes that
 * follow from values which nobody knows. A count that neither was said of is what it was when
 * the same memory was counted before: a backward does that. */
void tmksim_expect(const int64_t *numbers, int count);
/* The thread copied to the device: what it reads next was really written. */
void tmksim_value_written(void);

#endif
