/* test_latch.c - the library's locks: their order, and what a fork does to them. */
#include "latch.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../test.h"

static uint32_t missing;

static void in_child(void)
{
	missing = tmk_latches_in_child();
}

static void keep_over_fork(void)
{
	pthread_atfork(tmk_latches_before_fork, tmk_latches_after_fork, in_child);
}

/* How a child ends that calls this. */
static int end_of(void (*call)(void))
{
	int status = 0;
	pid_t child = fork();
	if (!child) {
		alarm(120);
		call();
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child);
	return status;
}

static void out_of_order(void)
{
	tmk_latch(TMK_LATCH_RINGS);
	tmk_latch(TMK_LATCH_START);
}

static void loader_before_store(void)
{
	tmk_loader_enter();
	tmk_latch(TMK_LATCH_STORE);
}

static void in_order(void)
{
	for (int i = 0; i < TMK_LATCH_LOADER; i++)
		tmk_latch((enum tmk_latch)i);
	if (!tmk_loader_enter())
		_exit(1);
	tmk_loader_leave();
	for (int i = 0; i < TMK_LATCH_LOADER; i++)
		tmk_unlatch((enum tmk_latch)i);
}

TEST("a lock that is waited for out of order ends the program, where it is checked")
{
#ifndef TIDEMARK_DEBUG_LOCKS
	SKIP("built without TIDEMARK_DEBUG_LOCKS");
#endif
	CHECK(WTERMSIG(end_of(out_of_order)) == SIGABRT);
	CHECK(WTERMSIG(end_of(loader_before_store)) == SIGABRT);
	CHECK(!end_of(in_order));
}

static atomic_bool over;
static long guarded[TMK_LATCHES][2]; /* equal, but for the middle of a change */

static void *hammer(void *unused)
{
	(void)unused;
	for (unsigned n = 0; !atomic_load(&over); n++) {
		enum tmk_latch i = (enum tmk_latch)(n % TMK_LATCHES);
		if (i == TMK_LATCH_LOADER) {
			if (tmk_loader_enter())
				tmk_loader_leave();
			continue;
		}
		tmk_latch(i);
		guarded[i][0]++;
		guarded[i][1]++;
		tmk_latch_yield(i);
		tmk_unlatch(i);
	}
	return NULL;
}

static void use_all(void)
{
	for (int i = 0; i < TMK_LATCH_LOADER; i++)
		if (!(missing >> i & 1) && guarded[i][0] != guarded[i][1])
			_exit(2);
	in_order();
}

TEST("a child that is forked while other threads have the locks finds them open")
{
	pthread_t t[4];
	keep_over_fork();
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, hammer, NULL);
	for (int i = 0; i < 300; i++)
		CHECK(!end_of(use_all));
	atomic_store(&over, true);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	CHECK(guarded[TMK_LATCH_STORE][0] == guarded[TMK_LATCH_STORE][1]);
}

static void expect_store_missing(void)
{
	if (missing != 1u << TMK_LATCH_STORE)
		_exit(1);
	in_order();
}

static void *keep_store(void *unused)
{
	(void)unused;
	tmk_latch(TMK_LATCH_STORE);
	while (!atomic_load(&over))
		usleep(1000);
	tmk_unlatch(TMK_LATCH_STORE);
	return NULL;
}

TEST("a fork goes on without a lock that is not given, and the child knows which")
{
	pthread_t t;
	keep_over_fork();
	pthread_create(&t, NULL, keep_store, NULL);
	while (tmk_latch_try(TMK_LATCH_STORE))
		tmk_unlatch(TMK_LATCH_STORE);
	for (int i = 0; i < 3; i++)
		CHECK(!end_of(expect_store_missing));
	atomic_store(&over, true);
	pthread_join(t, NULL);
	in_order();
}

TEST_MAIN
