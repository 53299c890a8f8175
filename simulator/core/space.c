/* space.c - the address range that device memory lives in: mapped once, without
 * reserving memory; pages appear when written. Free stretches are kept in a sorted
 * array, few at any time.
 * Called from: memory.c. */
#include "space.h"
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct stretch {
	uintptr_t at;
	size_t bytes;
};
static struct stretch *gaps; /* free stretches by address, never adjacent */
static size_t gap_count, gap_room;
static _Atomic uintptr_t first, last; /* the whole range; asked for without a lock */

static void insert(size_t i, struct stretch gap)
{
	if (gap_count == gap_room) {
		gap_room = gap_room ? 2 * gap_room : 256;
		gaps = realloc(gaps, gap_room * sizeof(*gaps));
		if (!gaps)
			tmksim_die("out of host memory");
	}
	memmove(gaps + i + 1, gaps + i, (gap_count - i) * sizeof(*gaps));
	gaps[i] = gap;
	gap_count++;
}

static void delete (size_t i)
{
	gap_count--;
	memmove(gaps + i, gaps + i + 1, (gap_count - i) * sizeof(*gaps));
}

static void map_range(void)
{
	/* 32 TiB leaves room for expandable segments, each of which reserves more than the
	 * card's memory; under `ulimit -v` or strict overcommit less has to do */
	for (size_t bytes = 1ull << 45; bytes >= 1ull << 32; bytes /= 2) {
		void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (at == MAP_FAILED)
			continue;
		/* huge pages would make the first small write cost 2 MiB of host memory */
		madvise(at, bytes, MADV_NOHUGEPAGE);
		madvise(at, bytes, MADV_DONTDUMP);
		last = (uintptr_t)at + bytes;
		first = ((uintptr_t)at + (2 << 20) - 1) & ~(uintptr_t)((2 << 20) - 1);
		insert(0, (struct stretch){first, last - first});
		return;
	}
	tmksim_die("can't reserve address space for device memory: %m "
	           "(ulimit -v, or vm.overcommit_memory=2?)");
}

uintptr_t tmksim_space_take(size_t bytes, size_t alignment)
{
	if (!first)
		map_range();
	for (size_t i = 0; i < gap_count; i++) {
		uintptr_t at =
		        (gaps[i].at + alignment - 1) & ~(uintptr_t)(alignment - 1);
		size_t before = at - gaps[i].at;
		if (gaps[i].bytes < before || gaps[i].bytes - before < bytes)
			continue;
		size_t after = gaps[i].bytes - before - bytes;
		if (before) {
			gaps[i].bytes = before;
			if (after)
				insert(i + 1, (struct stretch){at + bytes, after});
		} else if (after) {
			gaps[i] = (struct stretch){at + bytes, after};
		} else {
			delete (i);
		}
		return at;
	}
	return 0;
}

void tmksim_space_give(uintptr_t at, size_t bytes)
{
	size_t low = 0, high = gap_count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (gaps[middle].at < at)
			low = middle + 1;
		else
			high = middle;
	}
	bool joins_before = low && gaps[low - 1].at + gaps[low - 1].bytes == at;
	bool joins_after = low < gap_count && at + bytes == gaps[low].at;
	if (joins_before) {
		gaps[low - 1].bytes += bytes + (joins_after ? gaps[low].bytes : 0);
		if (joins_after)
			delete (low);
	} else if (joins_after) {
		gaps[low].at = at;
		gaps[low].bytes += bytes;
	} else {
		insert(low, (struct stretch){at, bytes});
	}
}

bool tmksim_space_holds(uintptr_t at)
{
	return first && at >= first && at < last;
}
