/* check.c - how fast a recovery finds out that what a ring holds are records: millions a
 * second of the thread's own CPU time. The mix is a training step's: nearly all of it
 * allocations and frees, now and then a stack, a name, the end of a phase.
 *
 * usage: bench_check */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"

enum { MIB = 1 << 20, ROOM = 64 * MIB };

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint32_t put(char *at, enum tmk_kind kind, size_t size)
{
	struct tmk_record *r = memset(at, 0, size);
	r->kind = (uint8_t)kind;
	r->size = (uint32_t)size;
	if (kind == TMK_REC_PYSTACK)
		((struct tmk_rec_stack *)r)->depth = 16;
	if (kind == TMK_REC_OP)
		strcpy(((struct tmk_rec_text *)r)->text, "aten::linear");
	return r->size;
}

static uint32_t one(char *at, uint32_t i)
{
	if (i % 64 == 63)
		return put(at, TMK_REC_PYSTACK, sizeof(struct tmk_rec_stack) + 16 * 8);
	if (i % 64 == 62)
		return put(at, TMK_REC_OP,
		           TMK_ALIGN8(sizeof(struct tmk_rec_text) + 16));
	if (i % 64 == 61)
		return put(at, TMK_REC_BOUNDARY, sizeof(struct tmk_rec_boundary));
	if (i % 2)
		return put(at, TMK_REC_FREE,
		           TMK_ALIGN8(offsetof(struct tmk_rec_event, requested)));
	return put(at, TMK_REC_ALLOC, sizeof(struct tmk_rec_event));
}

int main(void)
{
	char *data = malloc(ROOM);
	uint64_t used = 0, records = 0, sound = 0;
	if (!data)
		return 1;
	for (uint32_t i = 0; ROOM - used > 4096; i++, records++)
		used += one(data + used, i);
	for (int round = 0; round < 5; round++) {
		double began = now();
		sound = 0;
		for (uint64_t at = 0; at < used; sound++) {
			struct tmk_record *r = (struct tmk_record *)(data + at);
			if (!tmk_record_is_sound(r, used - at))
				abort();
			at += r->size;
		}
		printf("%.1f million records a second (%.0f MB/s)\n",
		       (double)sound / (now() - began) * 1e3,
		       (double)used / (now() - began) * 1e3);
	}
	free(data);
	return sound != records;
}
