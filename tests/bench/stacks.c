/* stacks.c - ns per native walk: hit, unw_backtrace, step by step. Prints; asserts
 * nothing. Each figure is the least of several runs: the neighbours on this machine are
 * noise. */
#include "../stacks/stacklib.h"

#include <stdio.h>
#include <time.h>

enum { HITS = 20000, SLOW = 200, RUNS = 25 };
static volatile int sink;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void measure(void)
{
	static uint64_t pc[192];
	double hit = 1e12, trace = 1e12, steps = 1e12;
	int depth = 0;
	for (int r = 0; r < RUNS; r++) {
		double t = now();
		for (int i = 0; i < HITS; i++)
			depth = stk_c_walk()->depth;
		double u = now();
		hit = (u - t) / HITS < hit ? (u - t) / HITS : hit;
		for (int i = 0; i < HITS; i++)
			sink = stk_c_trace(pc, 192);
		t = now();
		trace = (t - u) / HITS < trace ? (t - u) / HITS : trace;
		for (int i = 0; i < SLOW; i++)
			sink = stk_c_steps(pc, 192);
		u = now();
		steps = (u - t) / SLOW < steps ? (u - t) / SLOW : steps;
	}
	printf("%3d frames: hit %6.1f  unw_backtrace %7.1f  unw_step %8.1f ns\n", depth,
	       hit, trace, steps);
}

static __attribute__((noinline)) void deep(int n)
{
	if (n > 0)
		deep(n - 1);
	else
		measure();
	sink++;
}

int main(void)
{
	char why[128];
	if (stk_c_init(why, sizeof(why))) {
		printf("no figures: %s\n", why);
		return 0;
	}
	for (int n = 1; n <= 81; n += n < 21 ? 10 : 30)
		deep(n);
	uint64_t c[5];
	stk_c_count(c);
	printf("hits %lu misses %lu kept %lu refused %lu\n", c[0], c[1], c[2], c[3]);
	return 0;
}
