/* steps.c - how a long run is kept: the same small step over and over, with one block
 * that leaks in every `leak`-th. `unlike`: its blocks have other sizes in each step, so that
 * none is like another. `live`: so many blocks are there from the start. Prints bytes per step in
 * the file, the writer's pace and the most memory that the process had.
 *
 * usage: bench_steps FILE [steps] [leak, 0 for never] [unlike, 0 or 1] [live] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "emit.h"
#include "session.h"
#include "settings.h"

static void event(uint64_t ptr, int64_t bytes, enum tmk_phase phase)
{
	size_t size = bytes > 0 ? sizeof(struct tmk_rec_event)
	                        : offsetof(struct tmk_rec_event, requested);
	struct tmk_rec_event *r;
	while (!(r = tmk_begin(bytes > 0 ? TMK_REC_ALLOC : TMK_REC_FREE, 0,
	                       (uint32_t)size)))
		;
	memset((char *)r + sizeof(r->head), 0, size - sizeof(r->head));
	r->ptr = ptr;
	r->bytes = bytes;
	r->device = (struct tmk_device_id){1, 0};
	r->flags = TMK_EVENT_NO_TOTAL | TMK_EVENT_GRAD_MODE;
	r->phase = (uint8_t)phase;
	if (bytes > 0)
		r->requested = bytes;
	tmk_end(r);
}

/* What block k of step i has, in bytes. */
static int64_t size_of(long i, int k, bool unlike)
{
	uint64_t mixed =
	        unlike ? ((uint64_t)i * 20 + (uint64_t)k) * 0x9e3779b97f4a7c15 : 0;

	return 10001 * (k + 1) + (int64_t)(mixed >> 40);
}

static void step(long i, long leak, bool unlike)
{
	const uint64_t base = 0x7f0000000000 + (i % 2) * 0x10000000;
	tmk_emit_boundary(TMK_AT_FORWARD, false, false);
	for (int k = 0; k < 12; k++) /* last step's gradients go */
		if (i > 0)
			event(0x7f8000000000 + 65536 * k, -(int64_t)4096 * (k + 1),
			      TMK_OPEN);
	for (int k = 0; k < 20; k++)
		event(base + 65536 * k, size_of(i, k, unlike), TMK_OPEN);
	tmk_emit_boundary(TMK_AT_BACKWARD, false, true);
	for (int k = 19; k >= 0; k--)
		event(base + 65536 * k, -size_of(i, k, unlike), TMK_BACKWARD);
	for (int k = 0; k < 12; k++)
		event(0x7f8000000000 + 65536 * k, (int64_t)4096 * (k + 1),
		      TMK_BACKWARD);
	tmk_emit_boundary(TMK_AT_BACKWARD_END, false, true);
	if (leak && i % leak == 0)
		event(0x700000000000 + 512 * i, 512, TMK_OPEN);
	tmk_emit_boundary(TMK_AT_STEP, false, false);
	tmk_emit_boundary(TMK_AT_STEP_END, false, false);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	long n = argc > 2 ? atol(argv[2]) : 100000, leak = argc > 3 ? atol(argv[3]) : 0;
	bool unlike = argc > 4 && atoi(argv[4]);
	long live = argc > 5 ? atol(argv[5]) : 0;
	setenv("TIDEMARK_OUT", argv[1], 1);
	unlink(argv[1]);
	tmk_settings_read();
	tmk_clock_init();
	if (!tmk_session_ensure())
		return 1;
	for (long i = 0; i < live; i++)
		event(0x600000000000 + 512 * (uint64_t)i, 512, TMK_OPEN);
	for (long i = 0; i < n; i++)
		step(i, leak, unlike);
	struct timespec all, own;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &own);
	tmk_session_finish(0, true);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &all);
	double writer =
	        (double)(all.tv_sec - own.tv_sec) + (all.tv_nsec - own.tv_nsec) / 1e9;
	struct stat st;
	struct rusage used;
	if (stat(argv[1], &st) || getrusage(RUSAGE_SELF, &used))
		return 1;
	printf("%ld steps: %.1f bytes each, %.1f MB in all, %.1f us of writer CPU "
	       "each, %ld MiB of memory at most\n",
	       n, (double)st.st_size / (double)n, (double)st.st_size / 1e6,
	       writer / (double)n * 1e6, used.ru_maxrss / 1024);
	return 0;
}
