/* writer.c - how fast the writer takes records: allocations (with their frees) per second
 * of the writer thread's own CPU time, and bytes per allocation in the file. Not folded:
 * every event differs in size from step to step.
 *
 * usage: bench_writer FILE [allocations] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "emit.h"
#include "session.h"
#include "settings.h"

static struct tmk_rec_event *event(enum tmk_kind kind, uint64_t ptr, int64_t bytes)
{
	size_t size = kind == TMK_REC_ALLOC ? sizeof(struct tmk_rec_event)
	                                    : offsetof(struct tmk_rec_event, requested);
	struct tmk_rec_event *r;
	while (!(r = tmk_begin(kind, 0, (uint32_t)size)))
		;
	memset((char *)r + sizeof(r->head), 0, size - sizeof(r->head));
	r->ptr = ptr;
	r->bytes = bytes;
	r->device = (struct tmk_device_id){1, 0};
	r->flags = TMK_EVENT_NO_TOTAL | TMK_EVENT_GRAD_MODE;
	r->phase = TMK_BACKWARD;
	if (kind == TMK_REC_ALLOC)
		r->requested = bytes - 100;
	return r;
}

int main(int argc, char **argv)
{
	long n = argc > 2 ? atol(argv[2]) : 1000000;
	if (argc < 2)
		return 2;
	setenv("TIDEMARK_OUT", argv[1], 1);
	unlink(argv[1]);
	tmk_settings_read();
	tmk_clock_init();
	if (!tmk_session_ensure())
		return 1;
	enum { STEP = 2000 };
	for (long i = 0; i < n; i++) {
		uint64_t ptr = 0x7f0000000000 + 4096 * (uint64_t)(i % STEP);
		tmk_end(event(TMK_REC_ALLOC, ptr, 512 * (1 + i % 100003)));
		if (i % 2)
			tmk_end(event(TMK_REC_FREE, ptr, -512 * (1 + i % 100003)));
		if (i % STEP == STEP - 1) {
			for (long k = i - STEP + 1; k < i; k += 2)
				tmk_end(event(TMK_REC_FREE,
				              0x7f0000000000 +
				                      4096 * (uint64_t)(k % STEP),
				              -512 * (1 + k % 100003)));
			tmk_emit_boundary(TMK_AT_STEP, false, false);
			tmk_emit_boundary(TMK_AT_STEP_END, false, false);
			tmk_emit_boundary(TMK_AT_BACKWARD, false, true);
			tmk_emit_boundary(TMK_AT_BACKWARD_END, false, true);
		}
	}
	struct timespec all, own;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &own);
	tmk_session_finish(0, true);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &all);
	double writer =
	        (double)(all.tv_sec - own.tv_sec) + (all.tv_nsec - own.tv_nsec) / 1e9;
	struct stat st;
	if (stat(argv[1], &st))
		return 1;
	printf("%ld allocations: %.2f M/s of writer CPU, %.1f bytes each in the file\n",
	       n, n / writer / 1e6, (double)st.st_size / (double)n);
	return 0;
}
