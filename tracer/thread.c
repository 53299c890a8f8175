/* thread.c - the writer as a thread of the traced process: when it works, when it sleeps, how
 * it is told to end, and who may wait for it.
 *
 * Called from: session.c. Blocks signals, never takes a lock of the host's. */
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "died.h"
#include "emit.h"
#include "latch.h"
#include "mapped.h"
#include "settings.h"
#include "writer_private.h"

const char *tmk_writer_died(const struct tmk_writer *w)
{
	return w->died;
}

void tmk_writer_stop(struct tmk_writer *w)
{
	atomic_store(&w->stop, 1);
	syscall(SYS_futex, &w->stop, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Seldom is cheap for the program, whose caches it shares; a ring that fills is looked
 * after at once. A futex, since it waits by a clock that nobody sets. */
static void nap(struct tmk_writer *w, uint64_t records)
{
	bool busy = records * sizeof(struct tmk_rec_event) >
	            w->rings->header->data_size / 8;
	const struct timespec t = {.tv_nsec = busy ? 1000000 : 20000000};
	syscall(SYS_futex, &w->stop, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0);
}

static void populate(struct tmk_writer *w)
{
	uint32_t n = atomic_load_explicit(&w->rings->ready, memory_order_acquire);
	for (uint32_t i = 0; i < n; i++)
		tmk_ring_populate(&w->rings->ring[i]);
}

static void give_up(struct tmk_writer *w, const char *why, bool said)
{
	if (!said)
		tmk_say("%s; tracing stops, and '%s' ends here", why, w->path);
	atomic_store(&w->rings->header->stopped, 1);
	atomic_store(&tmk_state, TMK_DISABLED);
}

static void report(_Atomic uint32_t *word, uint32_t value)
{
	atomic_store(word, value);
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static bool wait_for(_Atomic uint32_t *word, uint64_t ns)
{
	uint64_t until = tmk_clock_ns() + ns;
	for (uint64_t now; !atomic_load(word);) {
		if ((now = tmk_clock_ns()) >= until)
			return false;
		const struct timespec t = {(time_t)((until - now) / 1000000000),
		                           (long)((until - now) % 1000000000)};
		syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0);
	}
	return true;
}

const char *tmk_writer_wait_open(struct tmk_writer *w)
{
	enum { A_FIFTH_OF_A_SECOND = 200000000 };
	wait_for(&w->opened, A_FIFTH_OF_A_SECOND);
	return atomic_load(&w->opened) == 2 ? w->message : NULL;
}

bool tmk_writer_wait_done(struct tmk_writer *w, uint64_t ns)
{
	return wait_for(&w->done, ns);
}

/* What the trace has stays, and ends here. */
static void end_without_rings(struct tmk_writer *w)
{
	tmk_say("somebody has made '%s' shorter; tracing stops, and '%s' ends here",
	        w->rings->path, w->path);
	atomic_store(&tmk_state, TMK_DISABLED);
	tmk_store_run(w->store, TMK_SQL_lost, "ring_cut", (int64_t)1,
	              "times that another program made the ring's file shorter; what "
	              "came after it, and up to a step before it, is not in the trace");
	tmk_writer_end(w, "stopped");
}

/* True where it has said how the trace ends: one sentence is enough. */
static bool write_run(struct tmk_writer *w)
{
	while (!atomic_load(&w->stop) && !tmk_store_failed(w->store) &&
	       !tmk_rings_gone(w->rings)) {
		uint64_t before = w->next_seq;
		tmk_writer_calibrate(w);
		populate(w);
		tmk_writer_drain(w, false);
		if (w->due && tmk_clock_ns() - w->last_commit_ns > 100000000)
			tmk_writer_commit_now(w);
		tmk_unlatch(TMK_LATCH_STORE);
		nap(w, w->next_seq - before);
		tmk_latch(TMK_LATCH_STORE);
	}
	if (!tmk_rings_gone(w->rings)) {
		tmk_writer_calibrate(w);
		tmk_writer_drain(w, true);
	}
	if (tmk_store_failed(w->store))
		return false;
	if (tmk_rings_gone(w->rings)) {
		end_without_rings(w);
		return true;
	}
	tmk_writer_end(w, "exit");
	tmk_died_text(w->store, w->died, sizeof(w->died));
	return false;
}

/* Asked by the writer that has just reported it, and by who has just begun the session: who
 * comes second says it. Hooks may have gone on meanwhile: they keep the rings. At its end a
 * program may have stopped waiting before it could begin. */
bool tmk_writer_refused(struct tmk_writer *w)
{
	int active = TMK_ACTIVE;
	if (atomic_load(&w->opened) != 2)
		return false;
	if ((atomic_compare_exchange_strong(&tmk_state, &active, TMK_DISABLED) ||
	     active == TMK_FINISHED) &&
	    !atomic_exchange(&w->refused, true)) {
		tmk_say("%s; tracing into '%s' stops", w->message, w->path);
		atomic_store(&w->rings->header->stopped, 1);
	}
	return true;
}

static void run(struct tmk_writer *w)
{
	/* our own cudaX calls or allocations are not the program's */
	tmk_self.guard = 1;
	tmk_mapped_heed();
	prctl(PR_SET_NAME, "tidemark");
	tmk_writer_calibrate(w);
	if (!tmk_writer_open(w, w->message, sizeof(w->message))) {
		report(&w->opened, 2);
		tmk_writer_refused(w);
		report(&w->done, 1);
		return;
	}
	report(&w->opened, 1);
	bool said = write_run(w);
	const char *failed = tmk_store_failed(w->store);
	if (failed) /* a full disk, say: the ring stays, for when there is room */
		give_up(w, failed, said);
	if (failed)
		tmk_store_close(w->store);
	else if (!tmk_store_finish(w->store, w->rings->path)) {
		failed = "";
		if (!said)
			tmk_say("another program is reading '%s'; 'tidemark report' "
			        "will finish the trace",
			        w->path);
	}
	atomic_store(&w->rings->header->finished, !failed);
	report(&w->done, 1);
}

void *tmk_writer_run(void *arg)
{
	tmk_latch(TMK_LATCH_STORE);
	run(arg);
	tmk_unlatch(TMK_LATCH_STORE);
	return arg;
}
