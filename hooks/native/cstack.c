/* cstack.c - native stacks of the calling thread, with reuse of unchanged ones.
 *
 * Called from: hooks, on any thread, under the guard, possibly under PyTorch's
 * allocator lock. Owns: one mapping per thread. Never takes a lock or allocates on a
 * hit; what is not remembered is walked while no other thread forks (latch.h: LOADER).
 *
 * A walk is keyed by its own frame address and return address. A cache entry lists
 * words of the stack and has a sum of their values, 64 bits wide; while all of them are
 * unchanged, so is the stack:
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
#include "latch.h"

#include <dlfcn.h>
#include <errno.h>
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
	AT_ONCE = 4, /* words summed up side by side, as none waits for another */
	FARTHEST = UINT16_MAX, /* word of the stack, from the frame: 512 KiB */
	SETS = 72,
	WAYS = 8,
	SEEN = 4096,
	REACH = 8 << 20, /* from a frame to the end of its thread's stack */
};

/* What a hit reads, in as few lines as it can be: a training step comes back to hundreds
 * of stacks, each once. */
struct entry {
	struct tmk_c_stack stack; /* pc points into the cache's ra[][] */
	uint64_t sum;             /* of the words: sum_at() */
	uint16_t words;           /* a multiple of AT_ONCE */
	uint16_t count;           /* return addresses in ra[][], for verify() */
	uint16_t at[WORDS];       /* where, in words from the frame */
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
	struct tmk_c_stack scratch; /* a stack that is not kept */
	uint64_t scratch_ra[FRAMES];
	struct entry entry[SETS][WAYS];
	uint64_t ra[SETS][WAYS][FRAMES];
};
_Static_assert(sizeof(struct cache) <= 3 << 19, "at most 1.5 MiB a thread");
_Static_assert(WORDS % AT_ONCE == 0, "a full entry is padded, too");

/* What the slow walk finds out. */
struct lesson {
	int count; /* return addresses, innermost first */
	int words; /* to compare: the return addresses, and what add_base adds */
	uint64_t ra[FRAMES];
	uint32_t slot[WORDS]; /* where, in words from the walk's frame address */
};

static __thread struct cache *mine;
static TMK_HOT_DATA atomic_int ready, verifying;
static uintptr_t main_stack_top;
_Atomic uint64_t tmk_cstack_left_out;

/* This library in memory; the linker defines both. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

int tmk_cstack_init(char *why, size_t n)
{
	int rc = 0;
	tmk_latch(TMK_LATCH_NATIVE);
	if (!atomic_load_explicit(&ready, memory_order_relaxed)) {
		void **top = dlsym(RTLD_DEFAULT, "__libc_stack_end");
		main_stack_top = top ? (uintptr_t)*top : 0;
		rc = tmk_cunwind_load(why, n);
		if (!rc)
			atomic_store_explicit(&ready, 1, memory_order_release);
	}
	tmk_unlatch(TMK_LATCH_NATIVE);
	return rc;
}

/* A signal's handler that forks may come back to a walk: then its memory is left. */
void tmk_cstack_forked(void)
{
	if (mine && mine->busy)
		mine = NULL;
	tmk_cstack_thread_exit();
	atomic_store(&tmk_cstack_left_out, 0);
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
		munmap(mine, sizeof(*mine));
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

/* Fills in what the interner sees of ra[0 .. n). */
static void describe(struct tmk_c_stack *s, const uint64_t *ra, int n)
{
	int first = 0;
	while (first < n && first < OWN && is_own(ra[first]))
		first++;
	uint64_t hash = M1, check = M2;
	int depth = n - first < TMK_C_DEPTH ? n - first : TMK_C_DEPTH;
	for (int i = first; i < first + depth; i++) {
		hash = (hash ^ ra[i]) * M1;
		hash ^= hash >> 32;
		check = (check + ra[i]) * M2;
		check ^= check >> 29;
	}
	s->depth = depth;
	s->truncated = n == FRAMES || depth < n - first;
	s->hash = hash;
	s->check = check;
	s->id = 0;
	s->pc = ra + first;
}

/* Copies to out what lies outside the walk's own frame, which ends at the return address
 * `ra`. Returns how many, or -1 when that is not there. */
static int trace(uint64_t *out, uint64_t ra)
{
	void *pc[INNER + FRAMES];
	int n = tmk_cunwind_trace(pc, INNER + FRAMES), first = 0, count = 0;
	while (first < n && first < INNER && (uint64_t)(uintptr_t)pc[first] != ra)
		first++;
	if (first == n || first == INNER)
		return -1;
	for (int i = first; i < n && count < FRAMES; i++)
		out[count++] = (uint64_t)(uintptr_t)pc[i];
	return count;
}

/* Adds a word to compare; false when it does not lie on the stack outside the walk. */
static int add_word(struct lesson *l, uint64_t frame, uint64_t top, uint64_t at,
                    uint64_t value)
{
	if (l->words == WORDS || at < frame || at >= top || at % 8 ||
	    *(const uint64_t *)at != value)
		return 0;
	l->slot[l->words++] = (uint32_t)((at - frame) / 8);
	return 1;
}

/* Adds what decides where frame f's caller, at cfa, is found, if that may be rbp: rbp
 * points into the frame. Usually cfa = rbp + 16; a realigned frame keeps cfa in memory
 * just below rbp (gcc's dynamic realign argument pointer). An rbp that merely points at
 * a local variable is as good: it is the same whenever the frame is. */
static int add_base(struct lesson *l, uint64_t frame, uint64_t top,
                    const struct tmk_cunwind_frame *f, uint64_t cfa)
{
	if (f->rbp < f->sp || f->rbp >= cfa)
		return 1;
	if (!add_word(l, frame, top, f->rbp_at, f->rbp))
		return 0;
	for (uint64_t at = f->rbp - 8;
	     f->rbp != cfa - 16 && at >= f->sp && f->rbp - at <= 64; at -= 8)
		if (at % 8 == 0 && *(const uint64_t *)at == cfa &&
		    !add_word(l, frame, top, at, cfa))
			return 0;
	return 1;
}

/* The slow walk: `count` frames from the walk's own return address outwards. 0, or -1 for
 * a stack not fit to be kept: a return address that is out of order, off the stack, or not
 * where the ABI puts it (signal frames). */
static __attribute__((noinline)) int learn(struct lesson *l, int count, uint64_t frame,
                                           uint64_t ra)
{
	struct tmk_cunwind_frame f[FRAMES];
	uint64_t top = stack_top(frame);

	l->words = l->count = 0;
	if (!top)
		return -1;
	int n = tmk_cunwind_steps(f, count, frame + 16);
	if (n != count || f[0].sp != frame + 16 || f[0].pc != ra)
		return -1;
	for (int i = 0; i < n; i++) {
		if ((i > 0 && f[i].sp <= f[i - 1].sp) ||
		    !add_word(l, frame, top, f[i].sp - 8, f[i].pc))
			return -1;
		l->ra[l->count++] = f[i].pc;
	}
	for (int i = 0; i + 1 < n; i++)
		if (!add_base(l, frame, top, &f[i], f[i + 1].sp))
			return -1;
	return 0;
}

/* Four polynomials modulo 2^64. One word that differs makes another sum, as the factor is
 * odd; several must differ by just what cancels, of 2^47 that each may differ by. */
static inline uint64_t sum_at(const struct entry *e, const uint64_t *word)
{
	uint64_t a = M1, b = M2, c = ~M1, d = ~M2;
	const uint16_t *at = e->at, *end = at + e->words;
	for (; at < end; at += AT_ONCE) {
		a = a * M1 + word[at[0]];
		b = b * M1 + word[at[1]];
		c = c * M1 + word[at[2]];
		d = d * M1 + word[at[3]];
	}
	a = (a ^ a >> 32) * M2 ^ b;
	a = (a ^ a >> 32) * M2 ^ c;
	return (a ^ a >> 32) * M2 ^ d;
}

/* The last word several times where they don't fill a round. -1 where one is too far. */
static int pack(struct entry *e, const struct lesson *l, uint64_t frame)
{
	int n = 0;
	for (; n < l->words; n++) {
		if (l->slot[n] > FARTHEST)
			return -1;
		e->at[n] = (uint16_t)l->slot[n];
	}
	for (; n % AT_ONCE; n++)
		e->at[n] = e->at[n - 1];
	e->words = (uint16_t)n;
	e->count = (uint16_t)l->count;
	e->sum = sum_at(e, (const uint64_t *)frame);
	return 0;
}

static TMK_COLD void verify(struct cache *c, const struct entry *e,
                            const uint64_t *kept, uint64_t frame, uint64_t ra)
{
	struct lesson now;
	struct entry again;
	const int count = e->count;
	if (learn(&now, count, frame, ra) || pack(&again, &now, frame) ||
	    memcmp(now.ra, kept, sizeof(*kept) * (size_t)count) != 0 ||
	    again.words != e->words || again.sum != e->sum ||
	    memcmp(again.at, e->at, sizeof(*e->at) * e->words) != 0)
		c->counts.wrong++;
}

static uint32_t set_of(uint64_t frame)
{
	return (uint32_t)(((frame * M1 >> 32) * SETS) >> 32);
}

static TMK_COLD struct tmk_c_stack *miss(struct cache *c, uint64_t frame, uint64_t ra)
{
	struct tmk_c_stack *found = &c->scratch;
	struct lesson l;

	c->counts.misses++;
	int count = trace(c->scratch_ra, ra);
	if (count < 0)
		return NULL;
	describe(found, c->scratch_ra, count);
	/* The same stack from another depth has other slots: the frame counts too. */
	uint64_t print = (found->hash ^ frame) * M2;
	uint32_t *seen = &c->seen[print >> 52];
	if (*seen != (uint32_t)print) {
		*seen = (uint32_t)print;
		return found;
	}
	uint32_t set = set_of(frame), way = c->victim++ % WAYS;
	struct entry *kept = &c->entry[set][way];
	c->set[set].frame[way] = 0;
	if (learn(&l, count, frame, ra) ||
	    memcmp(l.ra, c->scratch_ra, sizeof(*l.ra) * (size_t)count) != 0 ||
	    pack(kept, &l, frame)) {
		c->counts.refused++;
		return found;
	}
	memcpy(c->ra[set][way], l.ra, sizeof(*l.ra) * (size_t)count);
	describe(&kept->stack, c->ra[set][way], count);
	c->set[set].frame[way] = frame;
	c->set[set].ra[way] = ra;
	c->counts.recorded++;
	return &kept->stack;
}

/* Libunwind's locks, and the loader's, would be a child's for ever. */
static TMK_COLD struct tmk_c_stack *miss_outside_forks(struct cache *c, uint64_t frame,
                                                       uint64_t ra)
{
	struct tmk_c_stack *found = NULL;
	int saved = errno;
	c->busy = 1;
	if (tmk_loader_enter_in_hook()) {
		found = miss(c, frame, ra);
		tmk_loader_leave();
	} else {
		atomic_fetch_add(&tmk_cstack_left_out, 1);
	}
	c->busy = 0;
	errno = saved;
	return found;
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
		if (sum_at(e, (const uint64_t *)frame) != e->sum)
			continue;
		c->counts.hits++;
		if (__builtin_expect(
		            atomic_load_explicit(&verifying, memory_order_relaxed), 0))
			verify(c, e, c->ra[n][w], frame, ra);
		return &e->stack;
	}
	return c->busy ? NULL : miss_outside_forks(c, frame, ra);
}
