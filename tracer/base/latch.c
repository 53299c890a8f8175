/* latch.c - see latch.h. Called from all of the library, on any thread. Words and naps instead
 * of a mutex: what is taken in a hook calls nothing that the host might have replaced. */
#include "latch.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "clock.h"
#include "patience.h"

enum { SPINS = 200, NAP = 20000, SECOND = 1000000000 }; /* ns */

static atomic_bool taken[TMK_LATCHES];  /* LOADER: by a thread that forks */
static atomic_uint readers;             /* of LOADER */
static atomic_uint wanted[TMK_LATCHES]; /* by threads that are about to fork */
/* Latches that a fork has waited for in vain: the next one does not wait for long. */
static atomic_uint stuck;
/* This thread's, from before its fork to after it. */
static __thread uint32_t had __attribute__((tls_model("initial-exec")));

/* ---- the order ------------------------------------------------------------------------- */

#ifdef TIDEMARK_DEBUG_LOCKS
static __thread uint32_t held __attribute__((tls_model("initial-exec")));

static void check(enum tmk_latch which)
{
	static const char *const names[] = {
#define LOCK(side, name, what) LOCK_##side(name)
#define LOCK_LIBRARY(name)     #name,
#define LOCK_DEVICE(name)
#include "locks.def"
#undef LOCK
#undef LOCK_LIBRARY
#undef LOCK_DEVICE
	};
	if (!(held >> which))
		return;
	fprintf(stderr, "tidemark: lock %s is waited for by who holds", names[which]);
	for (unsigned i = which; i < TMK_LATCHES; i++)
		if (held >> i & 1)
			fprintf(stderr, " %s", names[i]);
	fprintf(stderr, "\n");
	abort();
}
#define TAKES(which) (held |= 1u << (which))
#define GIVES(which) (held &= ~(1u << (which)))
#else
#define check(which) ((void)(which))
#define TAKES(which) ((void)0)
#define GIVES(which) ((void)0)
#endif

/* ---- waiting --------------------------------------------------------------------------- */

/* Most are held for less than a nap. */
static void pause_a_little(unsigned round)
{
	const struct timespec t = {.tv_nsec = NAP};
	if (round < SPINS)
		__asm__ volatile("pause");
	else
		nanosleep(&t, NULL);
}

static bool take(enum tmk_latch which)
{
	bool no = false;
	return !atomic_load_explicit(&taken[which], memory_order_relaxed) &&
	       atomic_compare_exchange_strong_explicit(&taken[which], &no, true,
	                                               memory_order_acquire,
	                                               memory_order_relaxed);
}

void tmk_latch(enum tmk_latch which)
{
	check(which);
	for (unsigned round = 0; !take(which); round++)
		pause_a_little(round);
	TAKES(which);
}

bool tmk_latch_try(enum tmk_latch which)
{
	if (!take(which))
		return false;
	TAKES(which);
	return true;
}

void tmk_unlatch(enum tmk_latch which)
{
	GIVES(which);
	atomic_store_explicit(&taken[which], false, memory_order_release);
}

void tmk_latch_yield(enum tmk_latch which)
{
	enum { ENOUGH = 200 }; /* naps: then it is not coming for it */
	if (!atomic_load_explicit(&wanted[which], memory_order_relaxed))
		return;
	tmk_unlatch(which);
	for (int i = 0; i < ENOUGH && atomic_load(&wanted[which]); i++)
		pause_a_little(SPINS);
	tmk_latch(which);
}

/* ---- LOADER ---------------------------------------------------------------------------- */

/* Either a reader sees that it is taken, or who takes it sees the reader: both are written
 * before the other is read. */
static bool enters(void)
{
	atomic_fetch_add(&readers, 1);
	if (!atomic_load(&taken[TMK_LATCH_LOADER]))
		return true;
	atomic_fetch_sub(&readers, 1);
	return false;
}

bool tmk_loader_enter(void)
{
	check(TMK_LATCH_LOADER);
	bool in = enters();
	uint64_t until = in ? 0 : tmk_clock_ns() + SECOND / 5;
	for (unsigned round = 0; !in && tmk_clock_ns() < until; round++) {
		pause_a_little(round);
		in = enters();
	}
	if (in)
		TAKES(TMK_LATCH_LOADER);
	return in;
}

bool tmk_loader_enter_in_hook(void)
{
	check(TMK_LATCH_LOADER);
	bool in = enters();
	for (unsigned round = 0; !in && round < SPINS; round++) {
		pause_a_little(round);
		in = enters();
	}
	while (!in && tmk_patience_nap(NAP))
		in = enters();
	if (in)
		TAKES(TMK_LATCH_LOADER);
	return in;
}

void tmk_loader_leave(void)
{
	GIVES(TMK_LATCH_LOADER);
	atomic_fetch_sub(&readers, 1);
}

/* ---- fork ------------------------------------------------------------------------------ */

static bool readers_leave(uint64_t until)
{
	for (unsigned round = 0; atomic_load(&readers); round++) {
		if (round >= SPINS && tmk_clock_ns() >= until)
			return false;
		pause_a_little(round);
	}
	return true;
}

static bool take_until(enum tmk_latch which, uint64_t until)
{
	atomic_fetch_add(&wanted[which], 1);
	bool got = take(which);
	for (unsigned round = 0; !got && tmk_clock_ns() < until; round++) {
		pause_a_little(round);
		got = take(which);
	}
	if (got && which == TMK_LATCH_LOADER && !readers_leave(until)) {
		atomic_store(&taken[which], false);
		got = false;
	}
	atomic_fetch_sub(&wanted[which], 1);
	return got;
}

void tmk_latches_before_fork(void)
{
	uint64_t until = tmk_clock_ns() + SECOND;
	had = 0;
	for (unsigned i = 0; i < TMK_LATCHES; i++) {
		const uint32_t bit = 1u << i;
		bool vain = atomic_load(&stuck) & bit;
		if (!take_until((enum tmk_latch)i,
		                vain ? tmk_clock_ns() + SECOND / 50 : until)) {
			atomic_fetch_or(&stuck, bit);
			continue;
		}
		atomic_fetch_and(&stuck, ~bit);
		had |= bit;
	}
}

void tmk_latches_after_fork(void)
{
	for (unsigned i = TMK_LATCHES; i-- > 0;)
		if (had >> i & 1)
			atomic_store_explicit(&taken[i], false, memory_order_release);
	had = 0;
}

uint32_t tmk_latches_in_child(void)
{
	const uint32_t missing = ~had & ((1u << TMK_LATCHES) - 1);
	for (unsigned i = 0; i < TMK_LATCHES; i++) {
		atomic_store(&taken[i], false);
		atomic_store(&wanted[i], 0);
	}
	atomic_store(&readers, 0);
	atomic_store(&stuck, 0);
	had = 0;
	return missing;
}
