/* test_ring.c - the shared rings: order, fullness, and many producers beside one reader. */
#include "ring.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>

#include "../test.h"
#include "record.h"
#include "temp.h"

enum { SIZE = 1 << 16, RECORD = 24 };

static struct tmk_rings rings;

static void create(void)
{
	CHECK(tmk_rings_create(&rings, temp_path("t.db"), SIZE) == 0);
}

TEST("what is written is read in the same order, also across the end of the ring")
{
	create();
	struct tmk_ring *r = tmk_rings_acquire(&rings, 1);
	uint64_t written = 0, got = 0;
	CHECK(r);
	for (int round = 0; round < 10; round++) {
		char *p;
		while ((p = tmk_ring_reserve(r, RECORD))) {
			memcpy(p, &(uint64_t[3]){written, ~written, 7}, RECORD);
			written++;
			tmk_ring_commit(r, RECORD);
		}
		uint64_t head = atomic_load(&r->cursor->head);
		for (; r->read < head; r->read += RECORD, got++) {
			uint64_t v[3];
			memcpy(v, r->data + (r->read & (r->size - 1)), RECORD);
			CHECK(v[0] == got && v[1] == ~got && v[2] == 7);
		}
		atomic_store(&r->cursor->tail, r->read);
	}
	CHECK(got == written && got > SIZE / RECORD * 9);
	tmk_rings_close(&rings, true);
}

TEST("a full ring gives no room until the reader gives some back")
{
	create();
	struct tmk_ring *r = tmk_rings_acquire(&rings, 1);
	CHECK(tmk_ring_reserve(r, SIZE));
	tmk_ring_commit(r, SIZE);
	CHECK(!tmk_ring_reserve(r, 8));
	atomic_store(&r->cursor->tail, 8);
	CHECK(tmk_ring_reserve(r, 8));
	CHECK(!tmk_ring_reserve(r, 16));
	tmk_rings_close(&rings, true);
}

TEST("the ring of a thread that ended is taken by the next one")
{
	create();
	struct tmk_ring *a = tmk_rings_acquire(&rings, 11),
	                *b = tmk_rings_acquire(&rings, 22);
	CHECK(a && b && a != b);
	tmk_ring_release(a);
	CHECK(tmk_rings_acquire(&rings, 33) == a);
	CHECK(a->cursor->tid == 33);
	CHECK(atomic_load(&rings.header->rings) == 2);
	tmk_rings_close(&rings, true);
}

TEST("another process finds in the file what was committed, and not what was only "
     "reserved")
{
	create();
	struct tmk_ring *r = tmk_rings_acquire(&rings, 1);
	memset(tmk_ring_reserve(r, 16), 0x5a, 16);
	tmk_ring_commit(r, 16);
	memset(tmk_ring_reserve(r, 16), 0xff, 16);
	static struct tmk_rings copy;
	CHECK(tmk_rings_open(&copy, rings.path, false) == 0);
	CHECK(atomic_load(&copy.ready) == 1);
	CHECK(atomic_load(&copy.ring[0].cursor->head) == 16);
	CHECK(copy.ring[0].data[15] == 0x5a);
	CHECK_TEXT(copy.header->trace, temp_path("t.db"));
	tmk_rings_close(&copy, false);
	tmk_rings_close(&rings, true);
}

TEST("a ring file is for its owner alone, and gone when it is closed for good")
{
	create();
	struct stat st;
	CHECK(stat(rings.path, &st) == 0 && (st.st_mode & 0777) == 0600);
	char path[2112];
	strcpy(path, rings.path);
	tmk_rings_close(&rings, true);
	CHECK(stat(path, &st) < 0 && errno == ENOENT);
}

TEST("a file that is no ring, or another version's, is refused")
{
	static struct tmk_rings other;
	FILE *f = fopen(temp_path("foreign"), "w");
	for (int i = 0; i < 3000; i++)
		fputs("no ring", f);
	fclose(f);
	CHECK(tmk_rings_open(&other, temp_path("foreign"), false) == -EPROTO);
	CHECK(tmk_rings_open(&other, temp_path("absent"), false) == -ENOENT);
	create();
	rings.header->layout++;
	CHECK(tmk_rings_open(&other, rings.path, false) == -EPROTO);
	tmk_rings_close(&rings, true);
}

TEST("a ring whose file was cut off is refused, not read past its end")
{
	static struct tmk_rings other;
	create();
	CHECK(tmk_rings_acquire(&rings, 1));
	CHECK(truncate(rings.path, TMK_RING_PAGE + 100) == 0);
	CHECK(tmk_rings_open(&other, rings.path, false) == -EUCLEAN);
	tmk_rings_close(&rings, true);
}

TEST("a ring whose maker was killed before it was done holds nothing, and is removed")
{
	static struct tmk_rings other;
	for (int length = 0; length <= TMK_RING_PAGE; length += TMK_RING_PAGE) {
		FILE *f = fopen(temp_path("unfinished"), "w");
		CHECK(ftruncate(fileno(f), length) == 0);
		fclose(f);
		CHECK(tmk_rings_open(&other, temp_path("unfinished"), true) ==
		      -ENODATA);
		CHECK(tmk_rings_discard_unfinished(temp_path("unfinished")));
		CHECK(access(temp_path("unfinished"), F_OK) < 0);
	}
}

enum { PRODUCERS = 4, EACH = 60000 };

static void *produce(void *arg)
{
	uint64_t me = (uint64_t)(uintptr_t)arg;
	struct tmk_ring *r = tmk_rings_acquire(&rings, (uint32_t)me);
	for (uint64_t i = 0; r && i < EACH;) {
		char *p = tmk_ring_reserve(r, RECORD);
		if (!p) {
			sched_yield();
			continue;
		}
		uint64_t seq = atomic_fetch_add(&rings.header->seq, 1);
		memcpy(p, &(uint64_t[3]){seq, me, i++}, RECORD);
		tmk_ring_commit(r, RECORD);
	}
	return NULL;
}

TEST("four threads write while one reads: nothing is lost and each one's order is kept")
{
	create();
	pthread_t thread[PRODUCERS];
	static unsigned char seen[PRODUCERS * EACH];
	uint64_t next[PRODUCERS] = {0}, got = 0;
	for (int t = 0; t < PRODUCERS; t++)
		CHECK(!pthread_create(&thread[t], NULL, produce, (void *)(uintptr_t)t));
	while (got < PRODUCERS * EACH) {
		uint32_t n = atomic_load_explicit(&rings.ready, memory_order_acquire);
		for (uint32_t i = 0; i < n; i++) {
			struct tmk_ring *r = &rings.ring[i];
			uint64_t head = atomic_load_explicit(&r->cursor->head,
			                                     memory_order_acquire);
			for (; r->read < head; r->read += RECORD, got++) {
				uint64_t v[3];
				memcpy(v, r->data + (r->read & (r->size - 1)), RECORD);
				CHECK(v[0] < PRODUCERS * EACH && !seen[v[0]]++);
				CHECK(v[1] < PRODUCERS && v[2] == next[v[1]]++);
			}
			atomic_store_explicit(&r->cursor->tail, r->read,
			                      memory_order_release);
		}
		sched_yield();
	}
	for (int t = 0; t < PRODUCERS; t++) {
		pthread_join(thread[t], NULL);
		CHECK(next[t] == EACH);
	}
	tmk_rings_close(&rings, true);
}

TEST_MAIN
