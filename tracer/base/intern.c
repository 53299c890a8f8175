/* intern.c - open addressing in mapped memory.
 * Called from: hooks (any thread, under the guard). Owns: the tables. */
#include "intern.h"

#include <errno.h>
#include <stddef.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "hot.h"

/* What a training loop comes back to is first met early: the first half of NEAR lie close
 * together, where a look-up misses neither cache nor TLB. The rest goes to a table that has
 * room for a run of any length. */
enum { NEAR = 1 << 13, FAR = 1 << 18, LIMIT = FAR / 4 * 3 };

struct slot {
	_Atomic uint64_t hash; /* 0: free; claimed by compare-and-swap */
	_Atomic uint32_t
	        check; /* good once id is there; read earlier by who adds the same */
	_Atomic uint32_t id; /* 0 while its claimer is still writing */
};

static TMK_HOT_DATA struct {
	struct slot *near, *far;
	_Atomic uint32_t next;
} tables[TMK_TABLES];

int tmk_intern_init(void)
{
	for (int t = 0; t < TMK_TABLES; t++) {
		void *p = mmap(NULL, (NEAR + FAR) * sizeof(struct slot),
		               PROT_READ | PROT_WRITE,
		               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (p == MAP_FAILED)
			return -errno;
		tables[t].near = p;
		tables[t].far = tables[t].near + NEAR;
		atomic_store(&tables[t].next, 1);
	}
	return 0;
}

static inline uint32_t find(struct slot *slots, uint32_t mask, uint64_t hash,
                            uint32_t check)
{
	for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
		struct slot *s = &slots[i];
		uint64_t h = atomic_load_explicit(&s->hash, memory_order_relaxed);
		if (!h)
			return 0;
		if (h != hash)
			continue;
		uint32_t id = atomic_load_explicit(&s->id, memory_order_acquire);
		if (!id)
			return 0;
		if (atomic_load_explicit(&s->check, memory_order_relaxed) == check)
			return id;
	}
}

TMK_HOT uint32_t tmk_intern_find(enum tmk_table t, uint64_t hash, uint64_t check)
{
	hash += !hash;
	uint32_t id = find(tables[t].near, NEAR - 1, hash, (uint32_t)check);
	if (__builtin_expect(id, 1) ||
	    atomic_load_explicit(&tables[t].next, memory_order_relaxed) <= NEAR / 2)
		return id;
	return find(tables[t].far, FAR - 1, hash, (uint32_t)check);
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
	struct slot *slots = id <= NEAR / 2 ? tables[t].near : tables[t].far;
	uint32_t mask = id <= NEAR / 2 ? NEAR - 1 : FAR - 1;
	hash += !hash;
	for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
		struct slot *s = &slots[i];
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
