/* cstack.c - native stacks of the calling thread, with reuse of unchanged ones.
 *
 * Called from: hooks, on any thread, under the guard, possibly under PyTorch's
 * allocator lock. Owns: one mapping per thread. Never takes a lock or allocates on a
 * hit.
 *
 * A walk is keyed by its own frame address and return address. A cache entry lists
 * words of the stack and their values; while all of them are unchanged, so is the
 * stack:
 * - every return address. Where a frame's size is fixed, its address and the stack
 *   pointer say where the next one lies, so that equal words mean equal frames.
 * - for frames that find their caller by rbp (alloca, realigned stacks, frame
 * pointers), also the saved rbp, as their size may differ and stale return addresses
 * may still lie where the old ones were [seen: tests/stacks/test_cstack.c]. A miss asks
 * unw_backtrace (0.2 us); only when that yields a stack seen before is the slow walk
 * (10 us) spent that learns the words: stacks that never come back cost little.
 */
#include "cstack.h"
#include "cunwind.h"
#include "hot.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define M1 0x9E3779B97F4A7C15ull
#define M2 0xC2B2AE3D27D4EB4Full

enum {
	OWN = 8,   /* this library's own frames, at most, ahead of the caller's */
	INNER = 8, /* frames inside tmk_cstack_walk, at most: inlining decides */
	FRAMES = OWN + TMK_C_DEPTH,
	WORDS = FRAMES + 72,
	AT_ONCE = 4, /* words compared before it is looked whether all are equal */
	SETS = 72,
	WAYS = 8,
	SEEN = 4096,
	REACH = 8 << 20, /* a slot lies within 8 MiB of the frame that finds it */
};

struct entry {
	struct tmk_c_stack stack; /* pc points into value */
	int count;            /* return addresses, at the front; 0: an empty entry */
	int words;            /* words to compare, a multiple of AT_ONCE */
	uint32_t slot[WORDS]; /* where, in words from the walk's frame address */
	uint64_t value[WORDS];
};

/* Keys apart from the entries, so that a look-up touches two lines. */
struct set {
	uint64_t frame[WAYS], ra[WAYS];
};

struct cache {
	struct set set[SETS];
	uint32_t seen[SEEN]; /* fingerprints of stacks traced once */
	struct tmk_cstack_counts counts;
	uint32_t victim;
	volatile int busy;
	struct entry scratch; /* a stack that is not kept */
	struct entry entry[SETS][WAYS];
};
_Static_assert(sizeof(struct cache) <= 3 << 19, "at most 1.5 MiB a thread");
_Static_assert(WORDS % AT_ONCE == 0, "a full entry is compared to its end");

static __thread struct cache *mine;
static TMK_HOT_DATA atomic_int ready, verifying;
static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;
static uintptr_t main_stack_top;

/* This library in memory; the linker defines both. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

int tmk_cstack_init(char *why, size_t n)
{
	int rc = 0;
	pthread_mutex_lock(&init_lock);
	if (!atomic_load_explicit(&ready, memory_order_relaxed)) {
		void **top = dlsym(RTLD_DEFAULT, "__libc_stack_end");
		main_stack_top = top ? (uintptr_t)*top : 0;
		rc = tmk_cunwind_load(why, n);
		if (!rc)
			atomic_store_explicit(&ready, 1, memory_order_release);
	}
	pthread_mutex_unlock(&init_lock);
	return rc;
}

void tmk_cstack_verify(int on)
{
	atomic_store(&verifying, on);
}

struct tmk_cstack_counts tmk_cstack_count(void)
{
	return mine ? mine->counts : (struct tmk_cstack_counts){0};
}

void tmk_cstack_thread_exit(void)
{
	if (mine)
		munmap(mine, sizeof *mine);
	mine = NULL;
}

static struct cache *map_cache(void)
{
	void *p = mmap(NULL, sizeof(struct cache), PROT_READ | PROT_WRITE,
	               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	return mine = p;
}

/* The upper end of the stack that this frame is on, or 0 when it is not the thread's
 * own (a coroutine's, a signal stack). glibc keeps a thread's control block, at which
 * fs points, at the top of its stack; the main thread's top is known from its start. An
 * entry is only ever compared by the thread that made it, with the same frame address:
 * on the thread's own stack everything above that is mapped as long as the thread
 * lives. Of other stacks this can't be known, so their walks are not kept. */
static uintptr_t stack_top(uintptr_t frame)
{
	uintptr_t self;
	__asm__("movq %%fs:0, %0" : "=r"(self));
	if (self > frame && self - frame <= REACH)
		return self;
	if (main_stack_top > frame && main_stack_top - frame <= REACH)
		return main_stack_top;
	return 0;
}

static int is_own(uint64_t pc)
{
	return pc - (uintptr_t)__ehdr_start < (uintptr_t)(_end - __ehdr_start);
}

/* Fills in what the interner sees of e->value[0 .. count). */
static void describe(struct entry *e)
{
	int first = 0, n = e->count;
	while (first < n && first < OWN && is_own(e->value[first]))
		first++;
	uint64_t hash = M1, check = M2;
	int depth = n - first < TMK_C_DEPTH ? n - first : TMK_C_DEPTH;
	for (int i = first; i < first + depth; i++) {
		hash = (hash ^ e->value[i]) * M1;
		hash ^= hash >> 32;
		check = (check + e->value[i]) * M2;
		check ^= check >> 29;
	}
	e->stack.depth = depth;
	e->stack.truncated = n == FRAMES || depth < n - first;
	e->stack.hash = hash;
	e->stack.check = check;
	e->stack.id = 0;
	e->stack.pc = e->value + first;
}

/* Copies to e what lies outside the walk's own frame, which ends at the return address
 * `ra`. Returns the index of the first, or -1 when it is not there. */
static int trace(struct entry *e, uint64_t ra)
{
	void *pc[INNER + FRAMES];
	int n = tmk_cunwind_trace(pc, INNER + FRAMES), first = 0;
	while (first < n && first < INNER && (uint64_t)(uintptr_t)pc[first] != ra)
		first++;
	e->count = 0;
	if (first == n || first == INNER)
		return -1;
	for (int i = first; i < n && e->count < FRAMES; i++)
		e->value[e->count++] = (uint64_t)(uintptr_t)pc[i];
	return 0;
}

/* Adds a word to compare; false when it does not lie on the stack outside the walk. */
static int add_word(struct entry *e, uint64_t frame, uint64_t top, uint64_t at,
                    uint64_t value)
{
	if (e->words == WORDS || at < frame || at >= top || at % 8 ||
	    *(const uint64_t *)at != value)
		return 0;
	e->slot[e->words] = (uint32_t)((at - frame) / 8);
	e->value[e->words++] = value;
	return 1;
}

/* Adds what decides where frame f's caller, at cfa, is found, if that may be rbp: rbp
 * points into the frame. Usually cfa = rbp + 16; a realigned frame keeps cfa in memory
 * just below rbp (gcc's dynamic realign argument pointer). An rbp that merely points at
 * a local variable is as good: it is the same whenever the frame is. */
static int add_base(struct entry *e, uint64_t frame, uint64_t top,
                    const struct tmk_cunwind_frame *f, uint64_t cfa)
{
	if (f->rbp < f->sp || f->rbp >= cfa)
		return 1;
	if (!add_word(e, frame, top, f->rbp_at, f->rbp))
		return 0;
	for (uint64_t at = f->rbp - 8;
	     f->rbp != cfa - 16 && at >= f->sp && f->rbp - at <= 64; at -= 8)
		if (at % 8 == 0 && *(const uint64_t *)at == cfa &&
		    !add_word(e, frame, top, at, cfa))
			return 0;
	return 1;
}

/* The slow walk: the words of e, `count` frames from the walk's own return address
 * outwards. 0, or -1 for a stack not fit to be kept: a return address that is out of
 * order, off the stack, or not where the ABI puts it (signal frames). */
static __attribute__((noinline)) int learn(struct entry *e, int count, uint64_t frame,
                                           uint64_t ra)
{
	struct tmk_cunwind_frame f[FRAMES];
	uint64_t top = stack_top(frame);

	e->count = e->words = 0;
	if (!top)
		return -1;
	int n = tmk_cunwind_steps(f, count, frame + 16);
	if (n != count || f[0].sp != frame + 16 || f[0].pc != ra)
		return -1;
	for (int i = 0; i < n; i++)
		if ((i > 0 && f[i].sp <= f[i - 1].sp) ||
		    !add_word(e, frame, top, f[i].sp - 8, f[i].pc))
			return -1;
	for (int i = 0; i + 1 < n; i++)
		if (!add_base(e, frame, top, &f[i], f[i + 1].sp))
			return -1;
	while (e->words % AT_ONCE) /* there is room: WORDS is a multiple, too */
		add_word(e, frame, top, f[0].sp - 8, f[0].pc);
	e->count = n;
	return 0;
}

static inline int still_there(const struct entry *e, const uint64_t *frame)
{
	for (int i = 0; i < e->words; i += AT_ONCE) {
		const uint32_t *slot = e->slot + i;
		const uint64_t *value = e->value + i;
		if ((frame[slot[0]] ^ value[0]) | (frame[slot[1]] ^ value[1]) |
		    (frame[slot[2]] ^ value[2]) | (frame[slot[3]] ^ value[3]))
			return 0;
	}
	return 1;
}

static TMK_COLD void verify(struct cache *c, const struct entry *e, uint64_t frame,
                            uint64_t ra)
{
	struct entry now;
	if (learn(&now, e->count, frame, ra) || now.count != e->count ||
	    memcmp(now.value, e->value, sizeof now.value[0] * (size_t)now.count) != 0 ||
	    memcmp(now.slot, e->slot, sizeof now.slot[0] * (size_t)now.count) != 0)
		c->counts.wrong++;
}

static uint32_t set_of(uint64_t frame)
{
	return (uint32_t)(((frame * M1 >> 32) * SETS) >> 32);
}

static TMK_COLD struct tmk_c_stack *miss(struct cache *c, uint64_t frame, uint64_t ra)
{
	struct entry *e = &c->scratch;
	struct tmk_c_stack *found = NULL;

	c->counts.misses++;
	if (trace(e, ra))
		return NULL;
	describe(e);
	found = &e->stack;
	/* The same stack from another depth has other slots: the frame counts too. */
	uint64_t print = (e->stack.hash ^ frame) * M2;
	uint32_t *seen = &c->seen[print >> 52];
	if (*seen != (uint32_t)print) {
		*seen = (uint32_t)print;
		return found;
	}
	uint32_t set = set_of(frame), way = c->victim++ % WAYS;
	struct entry *kept = &c->entry[set][way];
	c->set[set].frame[way] = 0;
	if (learn(kept, e->count, frame, ra) ||
	    memcmp(kept->value, e->value, sizeof e->value[0] * (size_t)e->count) != 0) {
		c->counts.refused++;
		return found;
	}
	describe(kept);
	c->set[set].frame[way] = frame;
	c->set[set].ra[way] = ra;
	c->counts.recorded++;
	return &kept->stack;
}

TMK_HOT __attribute__((noinline)) struct tmk_c_stack *tmk_cstack_walk(void)
{
	uint64_t frame = (uint64_t)(uintptr_t)__builtin_frame_address(0);
	uint64_t ra = (uint64_t)(uintptr_t)__builtin_return_address(0);
	struct cache *c = mine;

	if (!c &&
	    (!atomic_load_explicit(&ready, memory_order_acquire) || !(c = map_cache())))
		return NULL;
	uint32_t n = set_of(frame);
	const struct set *set = &c->set[n];
	for (int w = 0; w < WAYS; w++) {
		if (set->frame[w] != frame || set->ra[w] != ra)
			continue;
		struct entry *e = &c->entry[n][w];
		if (!still_there(e, (const uint64_t *)frame))
			continue;
		c->counts.hits++;
		if (__builtin_expect(
		            atomic_load_explicit(&verifying, memory_order_relaxed), 0))
			verify(c, e, frame, ra);
		return &e->stack;
	}
	if (c->busy)
		return NULL;
	c->busy = 1;
	int saved = errno;
	struct tmk_c_stack *found = miss(c, frame, ra);
	errno = saved;
	c->busy = 0;
	return found;
}
