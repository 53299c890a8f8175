/* test_cstack.c - the native walker against libunwind's step by step walk and glibc's
 * backtrace(), over random call trees on several threads; with code that has no unwind
 * information, coroutines, and threads that come and go. Exit status 0, 1, or 77
 * (skip).
 */
#include "stacklib.h"

#include <alloca.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

long countmalloc(void);

#define CHECK(condition)                                                               \
	do {                                                                           \
		if (!(condition)) {                                                    \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__,             \
			        #condition);                                           \
			exit(1);                                                       \
		}                                                                      \
	} while (0)

enum { IDS = 1 << 14 };
struct known {
	uint64_t hash, check;
	int depth;
	uint64_t pc[TMK_C_DEPTH];
};
struct run {
	uint64_t seed;
	struct known *known; /* id - 1 */
	uint32_t ids;
	long walks;
	int compare;
};
static __thread struct run *run;
static volatile int sink;

static uint32_t rnd(uint32_t n)
{
	run->seed = run->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(run->seed >> 33) % n;
}

static uint32_t intern(const struct tmk_c_stack *s)
{
	for (uint32_t i = 0; i < run->ids; i++)
		if (run->known[i].hash == s->hash && run->known[i].check == s->check)
			return i + 1;
	CHECK(run->ids < IDS);
	struct known *k = &run->known[run->ids++];
	k->hash = s->hash;
	k->check = s->check;
	k->depth = s->depth;
	memcpy(k->pc, s->pc, sizeof(k->pc[0]) * (size_t)s->depth);
	return run->ids;
}

/* Both lists lead outwards from different calls in one frame: equal from the next on.
 */
static void same_callers(const struct tmk_c_stack *s, const uint64_t *pc, int n,
                         int own)
{
	if (s->truncated)
		n = n < s->depth + own ? n : s->depth + own;
	if (n - own != s->depth) {
		fprintf(stderr, "n %d own %d depth %d trunc %d\n", n, own, s->depth,
		        s->truncated);
		for (int i = 0; i < n || i < s->depth; i++)
			fprintf(stderr, "%2d %lx %lx\n", i, i < s->depth ? s->pc[i] : 0,
			        i + own < n ? pc[i + own] : 0);
	}
	CHECK(n - own == s->depth);
	CHECK(memcmp(s->pc + 1, pc + own + 1, sizeof(*pc) * (size_t)(s->depth - 1)) ==
	      0);
}

static __attribute__((noinline)) void leaf(void)
{
	uint64_t pc[192];
	struct tmk_c_stack *s = stk_c_walk();
	CHECK(s && s->depth > 0);
	run->walks++;
	if (s->id == 0)
		s->id = intern(s);
	const struct known *k = &run->known[s->id - 1];
	CHECK(k->hash == s->hash && k->depth == s->depth);
	CHECK(memcmp(k->pc, s->pc, sizeof(k->pc[0]) * (size_t)k->depth) == 0);
	if (!run->compare)
		return;
	/* steps() begins inside the library (its first is stk_c_steps's own frame),
	 * backtrace() with us. */
	same_callers(s, pc, stk_c_steps(pc, 192), 1);
	same_callers(s, pc, backtrace((void **)pc, 192), 0);
}

static void any(int depth);

static __attribute__((noinline)) void small_frame(int depth)
{
	any(depth - 1);
	sink++;
}

static __attribute__((noinline)) void big_frame(int depth)
{
	volatile char room[700];
	room[rnd(700)] = 1;
	any(depth - 1);
	sink += room[0];
}

static __attribute__((noinline)) void dynamic_frame(int depth)
{
	volatile char *room = alloca(16 * (1 + rnd(4)));
	room[0] = 1;
	any(depth - 1);
	sink += room[0];
}

static __attribute__((noinline)) void aligned_frame(int depth)
{
	volatile char room[64] __attribute__((aligned(64)));
	room[0] = 1;
	any(depth - 1);
	sink += room[0];
}

static __thread int callback_depth;
static int callback(const void *a, const void *b)
{
	(void)a, (void)b;
	int depth = callback_depth;
	if (depth > 0)
		any(depth - 1);
	callback_depth = 0;
	return 0;
}

static __attribute__((noinline)) void through_libc(int depth)
{
	int two[2] = {0};
	callback_depth = depth;
	qsort(two, 2, sizeof(two[0]), callback);
}

static void any(int depth)
{
	static void (*const f[])(int) = {small_frame, big_frame, dynamic_frame,
	                                 aligned_frame, through_libc};
	if (depth <= 0) {
		for (int i = 0, n = 1 + (int)rnd(3); i < n; i++)
			leaf();
		return;
	}
	f[rnd(5)](depth);
	sink++;
}

static void start(struct run *r, uint64_t seed, int compare)
{
	memset(r, 0, sizeof(*r));
	r->seed = seed;
	r->compare = compare;
	r->known = malloc(IDS * sizeof(*r->known));
	run = r;
}

static void *random_trees(void *seed)
{
	struct run r;
	uint64_t n[5];
	start(&r, (uint64_t)(uintptr_t)seed, 1);
	/* Trees that come back, as training steps do; and small trees at random, which
	 * put other frames where known ones lay and leave stale addresses behind. */
	for (int i = 0; i < 4000; i++) {
		uint64_t random = r.seed;
		if (i % 2)
			r.seed = (uint64_t)(uintptr_t)seed * 1000 + (uint64_t)(i % 301);
		any(1 + (int)rnd(i % 2 ? i % 21 == 0 ? 45 : 9 : 4));
		r.seed = random + (uint64_t)i;
	}
	stk_c_count(n);
	printf("thread %d: %ld walks, %u stacks, %lu hits, %lu misses, %lu kept, %lu "
	       "refused, "
	       "%lu wrong\n",
	       (int)(uintptr_t)seed, r.walks, r.ids, n[0], n[1], n[2], n[3], n[4]);
	CHECK(n[4] == 0 && n[0] + n[1] == (uint64_t)r.walks && n[0] > 0);
	free(r.known);
	stk_c_thread_exit();
	return NULL;
}

/* Deeper than what is kept: the innermost stay. */
static __attribute__((noinline)) void deep(int n)
{
	if (n)
		deep(n - 1);
	else
		leaf();
	sink++;
}

static void test_no_allocation(void)
{
	struct run r;
	start(&r, 7, 0);
	for (int i = 0; i < 50; i++)
		deep(i % 5);
	long before = countmalloc();
	for (int i = 0; i < 50000; i++) {
		r.seed = (uint64_t)(i % 400); /* hits, misses, and learning */
		any(1 + i % 7);
	}
	CHECK(countmalloc() == before);
	free(r.known);
}

/* Machine code without unwind information calls back; rbp is rubbish in the second. */
static void test_jit(void)
{
	static const unsigned char plain[] = {0x48, 0x83, 0xec, 0x18, 0xff, 0xd7,
	                                      0x48, 0x83, 0xc4, 0x18, 0xc3};
	static const unsigned char rubbish[] = {
	        0x55, 0x48, 0xbd, 0xf0, 0xde, 0xbc,
	        0x9a, 0x78, 0x56, 0x34, 0x12, /* mov rbp */
	        0xff, 0xd7, 0x5d, 0xc3};
	static const unsigned char low[] = {0x55, 0x48, 0xc7, 0xc5, 0x08, 0x00,
	                                    0x00, 0x00, 0xff, 0xd7, 0x5d, 0xc3};
	struct run r;
	start(&r, 3, 0);
	for (int i = 0; i < 600; i++) {
		unsigned char *page =
		        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (page == MAP_FAILED) {
			printf("skipped: no executable memory here\n");
			break;
		}
		/* The same address with other code each time: nothing may be believed
		 * of it. */
		if (i % 3 == 0)
			memcpy(page, plain, sizeof(plain));
		else if (i % 3 == 1)
			memcpy(page, rubbish, sizeof(rubbish));
		else
			memcpy(page, low, sizeof(low));
		union {
			void *object;
			void (*call)(void (*)(void));
		} jit = {.object = page};
		jit.call(leaf);
		jit.call(leaf);
		jit.call(leaf);
		munmap(page, 4096);
	}
	free(r.known);
}

static ucontext_t main_context, coroutine;
static void body(void)
{
	for (;;) {
		leaf();
		swapcontext(&coroutine, &main_context);
	}
}

static void one_coroutine(volatile size_t size)
{
	char *volatile stack = mmap(NULL, size, PROT_READ | PROT_WRITE,
	                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	getcontext(&coroutine);
	coroutine.uc_stack.ss_sp = stack;
	coroutine.uc_stack.ss_size = size;
	makecontext(&coroutine, body, 0);
	for (volatile int k = 0; k < 4; k++)
		swapcontext(&main_context, &coroutine);
	munmap(stack, size);
}

/* Coroutine stacks are unmapped while the thread lives: their walks must not be kept.
 */
static void test_coroutines(void)
{
	struct run r;
	uint64_t before[5], after[5];
	start(&r, 5, 0);
	stk_c_count(before);
	for (int i = 0; i < 200; i++)
		one_coroutine(i % 2 ? 1 << 16 : 1 << 14);
	stk_c_count(after);
	CHECK(after[0] == before[0]);
	free(r.known);
}

static void test_global_scope(void)
{
	const char *names[] = {"_Unwind_RaiseException", "_Unwind_Resume",
	                       "_Unwind_Find_FDE", "unw_backtrace"};
	for (size_t i = 0; i < 4; i++) {
		Dl_info where;
		void *p = dlsym(RTLD_DEFAULT, names[i]);
		CHECK(!p || !dladdr(p, &where) ||
		      !strstr(where.dli_fname, "libunwind"));
	}
	Dl_info where;
	void *p = dlsym(RTLD_DEFAULT, "backtrace");
	CHECK(dladdr(p, &where) && strstr(where.dli_fname, "libc.so"));
}

int main(void)
{
	char why[128];
	if (stk_c_init(why, sizeof(why))) {
		printf("skipped: %s\n", why);
		return 77;
	}
	test_global_scope();
	stk_c_verify(1);
	random_trees((void *)1);
	for (int round = 0; round < 3; round++) {
		pthread_t t[4];
		for (uintptr_t i = 0; i < 4; i++)
			CHECK(!pthread_create(&t[i], NULL, random_trees,
			                      (void *)(i + 2)));
		for (int i = 0; i < 4; i++)
			pthread_join(t[i], NULL);
	}
	struct run r;
	start(&r, 1, 1);
	for (int i = 0; i < 8; i++)
		deep(100 + i * 20);
	free(r.known);
	stk_c_verify(0);
	test_no_allocation();
	test_jit();
	test_coroutines();
	test_global_scope();
	puts("ok");
	return 0;
}
