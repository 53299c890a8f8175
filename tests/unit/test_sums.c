/* test_sums.c - the recorder's own sums beside what the allocator says of itself. */
#include "../test.h"
#include "by_hand.h"

TEST("a sum that differs from the allocator's own is counted")
{
	begin();
	setup();
	total += 777; /* the allocator knows of something that no hook saw */
	take(0xf00000, 16001, TMK_OPEN);
	end();
	CHECK(number("SELECT count FROM lost WHERE name = 'mismatch'") == 1);
	close_all();
}

static void cpu_event(uint64_t ptr, int64_t bytes, int64_t told)
{
	struct tmk_rec_event r = {.head = {sizeof(r), 1,
	                                   bytes > 0 ? TMK_REC_ALLOC : TMK_REC_FREE, 0,
	                                   next_seq++, 0},
	                          .ptr = ptr,
	                          .bytes = bytes,
	                          .allocated = (uint64_t)told,
	                          .phase = TMK_OPEN,
	                          .flags = TMK_EVENT_GRAD_MODE,
	                          .requested = bytes};
	tmk_model_apply(model, &r.head, (int64_t)next_seq * 1000);
}

TEST("CPU totals that come in another order than their events are no mismatch")
{
	begin();
	cpu_event(0x1000, 10001, 10001);
	cpu_event(0x3000, 301, 10001 + 201 + 301); /* overtook the next one */
	for (int i = 0; i < 40; i++) {
		cpu_event(0x4000, 401, 10001 + 201 + 301 + 401);
		cpu_event(0x4000, -401, 10001 + 201 + 301);
	}
	cpu_event(0x2000, 201, 10001 + 201);
	cpu_event(0x5000, 501, 10001 + 201 + 301 + 501);
	end();
	CHECK(number("SELECT sum(count) FROM lost") == 0);
	CHECK(number("SELECT max(end_allocated) FROM step_device") ==
	      10001 + 201 + 301 + 501);
	close_all();
}

TEST("CPU totals that stay apart are a mismatch, counted once")
{
	begin();
	cpu_event(0x1000, 10001, 10001);
	for (int i = 0; i < 40; i++) {
		cpu_event(0x4000, 401, 10001 + 777 + 401);
		cpu_event(0x4000, -401, 10001 + 777);
	}
	end();
	CHECK(number("SELECT count FROM lost WHERE name = 'mismatch'") == 1);
	close_all();
}

TEST("a trace cut off between a CPU total and its report has no mismatch")
{
	begin();
	cpu_event(0x1000, 10001, 10001);
	for (int i = 0; i < 40;
	     i++) { /* of another thread; the first waits to report 777 */
		cpu_event(0x4000, 401, 10001 + 777 + 401);
		cpu_event(0x4000, -401, 10001 + 777);
	}
	tmk_model_finish(model, NULL); /* a copy of a run that goes on */
	tmk_store_commit(store);
	CHECK(number("SELECT sum(count) FROM lost") == 0);
	close_all();
}

TEST("a free of something never seen is counted and changes no sum")
{
	begin();
	setup();
	event(TMK_REC_FREE, 0xdead00, 0, TMK_OPEN, TMK_EVENT_NO_TOTAL);
	end();
	CHECK(number("SELECT count FROM lost WHERE name = 'unmatched_free'") == 1);
	CHECK(number("SELECT max(end_allocated) FROM step_device") == 30002);
	close_all();
}

TEST("a free that tells no size has that of the birth")
{
	begin();
	setup();
	event(TMK_REC_FREE, 0x200000, 0, TMK_OPEN, TMK_EVENT_NO_TOTAL);
	total -= 20001;
	take(0xf10000, 17001, TMK_OPEN);
	end();
	CHECK(number("SELECT sum(count) FROM lost") == 0);
	CHECK(number("SELECT max(peak_allocated) FROM step_device") == 30002);
	close_all();
}

TEST_MAIN
