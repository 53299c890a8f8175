/* intern.c - open addressing in mapped memory.
 * Called from: hooks (any thread, under the guard). Owns: the tables. */
#include "intern.h"

#include <errno.h>
#include <stddef.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { SLOTS = 1 << 18, LIMIT = SLOTS / 4 * 3 };

struct slot {
	_Atomic uint64_t hash; /* 0: free; claimed by compare-and-swap */
	_Atomic uint32_t
	        check; /* good once id is there; read earlier by who adds the same */
	_Atomic uint32_t id; /* 0 while its claimer is still writing */
};

static struct {
	struct slot *slot;
	_Atomic uint32_t next;
} tables[TMK_TABLES];

int tmk_intern_init(void)
{
	for (int t = 0; t < TMK_TABLES; t++) {
		void *p =
		        mmap(NULL, SLOTS * sizeof(struct slot), PROT_READ | PROT_WRITE,
		             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (p == MAP_FAILED)
			return -errno;
		tables[t].slot = p;
		atomic_store(&tables[t].next, 1);
	}
	return 0;
}

uint32_t tmk_intern_find(enum tmk_table t, uint64_t hash, uint64_t check)
{
	hash += !hash;
	for (uint32_t i = hash & (SLOTS - 1);; i = (i + 1) & (SLOTS - 1)) {
		struct slot *s = &tables[t].slot[i];
		uint64_t h = atomic_load_explicit(&s->hash, memory_order_relaxed);
		if (!h)
			return 0;
		if (h != hash)
			continue;
		uint32_t id = atomic_load_explicit(&s->id, memory_order_acquire);
		if (!id)
			return 0;
		if (atomic_load_explicit(&s->check, memory_order_relaxed) ==
		    (uint32_t)check)
			return id;
	}
}

uint32_t tmk_intern_new(enum tmk_table t)
{
	uint32_t id =
	        atomic_fetch_add_explicit(&tables[t].next, 1, memory_order_relaxed);
	if (id < LIMIT)
		return id;
	atomic_store_explicit(&tables[t].next, LIMIT, memory_order_relaxed);
	return 0;
}

void tmk_intern_add(enum tmk_table t, uint64_t hash, uint64_t check, uint32_t id)
{
	hash += !hash;
	for (uint32_t i = hash & (SLOTS - 1);; i = (i + 1) & (SLOTS - 1)) {
		struct slot *s = &tables[t].slot[i];
		uint64_t free_slot = 0;
		if (atomic_compare_exchange_strong(&s->hash, &free_slot, hash)) {
			atomic_store_explicit(&s->check, (uint32_t)check,
			                      memory_order_relaxed);
			atomic_store_explicit(&s->id, id, memory_order_release);
			return;
		}
		/* Another thread defined the same: two numbers for one content, the
		 * writer joins them. */
		if (free_slot == hash &&
		    atomic_load_explicit(&s->check, memory_order_relaxed) ==
		            (uint32_t)check)
			return;
	}
}
