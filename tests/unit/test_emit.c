/* test_emit.c - a ring that stays full: how long its threads wait. The clock is the test's. */
#include "emit.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "../test.h"
#include "session.h"
#include "settings.h"
#include "temp.h"

static _Atomic long now_ns, naps;
static _Atomic int disable_after = -1;

/* Both of the C library's, for everything that is linked here. */
int nanosleep(const struct timespec *t, struct timespec *left)
{
	(void)left;
	if (t->tv_nsec != 100000) /* a lock's, that waits for another thread to run */
		return sched_yield();
	now_ns += t->tv_nsec + 57000; /* a kernel's slack */
	if (++naps == disable_after)
		atomic_store(&tmk_state, TMK_DISABLED);
	return 0;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
	(void)id;
	long n = now_ns;
	t->tv_sec = n / 1000000000;
	t->tv_nsec = n % 1000000000;
	return 0;
}

static void fill(void)
{
	for (int i = 0; i < 10000; i++) {
		struct tmk_record *r = tmk_begin(i % 4 ? TMK_REC_FREE : TMK_REC_POINTER,
		                                 0, sizeof(struct tmk_rec_pointer));
		if (r)
			tmk_end(r);
	}
}

static void *run(void *unused)
{
	(void)unused;
	fill();
	return NULL;
}

static void begin(void)
{
	static int count;
	char name[16];
	snprintf(name, sizeof(name), "%d.db", count++);
	CHECK(!tmk_rings_create(&tmk_rings, temp_path(name), 1 << 16));
	atomic_store(&tmk_state, TMK_ACTIVE);
}

TEST("threads whose rings stay full wait a fifth of a second together, and never again")
{
	pthread_t t[4];
	begin();
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, run, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	fill();
	/* Threads that wait at the same time each use up what the clock goes on by meanwhile. */
	CHECK(now_ns >= 200000000 / 4);
	CHECK(naps * 157000 < 205000000);
	uint64_t events = atomic_load(&tmk_rings.header->ring_full);
	uint64_t others = atomic_load(&tmk_rings.header->ring_full_other);
	CHECK(events > 10000 && others > 3000); /* one record in four is no event */
	CHECK(events > 2 * others && events < 4 * others);
	long before = naps;
	fill();
	CHECK(naps == before);
}

TEST("nobody waits for a writer that has been switched off")
{
	begin();
	disable_after = 3;
	fill();
	CHECK(naps == 3);
}

TEST("a forked child has a fifth of a second of its own")
{
	begin();
	fill();
	long before = naps;
	CHECK(before > 1000);
	tmk_session_forked(0);
	begin();
	fill();
	CHECK(naps > before + 1000);
}

TEST("a record that is longer than a ring is dropped without waiting")
{
	begin();
	CHECK(!tmk_begin(TMK_REC_META, 0, 1 << 17));
	CHECK(naps == 0);
}

TEST("a text goes nowhere, and the program on, where somebody has emptied the rings' "
     "file")
{
	begin();
	tmk_rings.header->data_size = 0;
	tmk_emit_run("config", "a text that fits");
	CHECK(atomic_load(&tmk_state) == TMK_ACTIVE);
}

TEST_MAIN
