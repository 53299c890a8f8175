/* stacklib.c - the walkers as a plain shared library, for ctypes in an unmodified
 * interpreter. CDLL releases the GIL around each call, so the walks run without it.
 * Strings come back in buffers of the caller: fields end in 0x1f, frames in 0x1e.
 */
#include "stacklib.h"
#include "../../hooks/native/cunwind.h"
#include "../../hooks/python/pycode.h"
#include "../../hooks/python/pystack.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC visibility push(default)

/* The numbers that remembered stacks have, by what a walk finds. */
static struct {
	uint64_t hash, check;
} * numbered;
enum { NUMBERS = 1 << 20 };
static _Atomic uint32_t last_number;
static _Atomic uint64_t known_again;

static uint32_t number_of(const struct tmk_py_stack *s)
{
	uint32_t id = atomic_fetch_add(&last_number, 1) + 1;
	if (id >= NUMBERS)
		return 0; /* not remembered */
	numbered[id].hash = s->hash;
	numbered[id].check = s->check;
	return id;
}

/* A stack that is known again is the one that was remembered. */
static int known_is_right(const struct tmk_py_stack *s)
{
	struct tmk_py_known k;
	if (!tmk_pystack_known(&k, 1)) {
		tmk_pystack_remember(&k, s, number_of(s));
		return 1;
	}
	if (!s->depth)
		return !k.id && !k.module;
	known_again++;
	return numbered[k.id].hash == s->hash && numbered[k.id].check == s->check &&
	       k.module == s->module && k.module_type == s->module_type;
}

int stk_py_init(char *why, size_t n)
{
	if (!numbered)
		numbered = calloc(NUMBERS, sizeof(*numbered));
	return tmk_pystack_init(why, n);
}

/* With the GIL (ctypes.PyDLL). Returns whether deaths of codes are counted now. */
int stk_py_watch(void)
{
	tmk_pycode_watch();
	return atomic_load(&tmk_pycode_deaths) != 0;
}

static void numbers_of(const struct tmk_py_stack *s, uint64_t *numbers)
{
	numbers[0] = s->hash;
	numbers[1] = s->check;
	numbers[2] = (uint64_t)s->truncated;
	numbers[3] = (uint64_t)(uintptr_t)s->module;
	numbers[4] = (uint64_t)(uintptr_t)s->module_type;
}

uint64_t stk_py_known_again(void)
{
	return known_again;
}

/* Walks once and names every frame. Returns the depth, -1 if another was known for it. */
int stk_py_capture(char *buf, size_t n, uint64_t *numbers, char *class, size_t nclass)
{
	struct tmk_py_stack s;
	char function[256], file[1024];
	size_t at = 0;

	tmk_pystack_walk(&s);
	numbers_of(&s, numbers);
	tmk_pystack_class(s.module, class, nclass);
	buf[0] = 0;
	for (int i = 0; i < s.depth && at < n; i++) {
		int line;
		tmk_pystack_text(&s.frame[i], function, sizeof(function), file,
		                 sizeof(file), &line);
		at += (size_t)snprintf(buf + at, n - at, "%s\x1f%s\x1f%d\x1e", function,
		                       file, line);
	}
	return known_is_right(&s) ? s.depth : -1;
}

int stk_py_numbers(uint64_t *numbers)
{
	struct tmk_py_stack s;
	tmk_pystack_walk(&s);
	numbers_of(&s, numbers);
	return known_is_right(&s) ? s.depth : -1;
}

double stk_py_ns(int rounds)
{
	struct tmk_py_stack s;
	struct tmk_py_known k;
	struct timespec a, b;
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < rounds; i++)
		if (!tmk_pystack_known(&k, 1)) {
			tmk_pystack_walk(&s);
			tmk_pystack_remember(&k, &s, number_of(&s));
		}
	clock_gettime(CLOCK_MONOTONIC, &b);
	return ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) /
	       rounds;
}

/* Calls of malloc and its kin during walks and namings, or -1 where nobody counts. */
long stk_py_mallocs(int rounds)
{
	struct tmk_py_stack s;
	char function[64], file[64];
	union {
		void *object;
		long (*call)(void);
	} count = {.object = dlsym(RTLD_DEFAULT, "countmalloc")};
	if (!count.object)
		return -1;
	long before = count.call();
	for (int i = 0; i < rounds; i++) {
		tmk_pystack_walk(&s);
		for (int k = 0, line; k < s.depth; k++)
			tmk_pystack_text(&s.frame[k], function, sizeof(function), file,
			                 sizeof(file), &line);
	}
	return count.call() - before;
}

int stk_c_init(char *why, size_t n)
{
	return tmk_cstack_init(why, n);
}

struct tmk_c_stack *stk_c_walk(void)
{
	struct tmk_c_stack *s = tmk_cstack_walk();
	__asm__ volatile(""); /* no tail call: a frame of the library's own */
	return s;
}

int stk_c_steps(uint64_t *pc, int size)
{
	struct tmk_cunwind_frame f[256];
	int n = tmk_cunwind_steps(f, size < 256 ? size : 256, 0);
	for (int i = 0; i < n; i++)
		pc[i] = f[i].pc;
	return n;
}

int stk_c_trace(uint64_t *pc, int size)
{
	return tmk_cunwind_trace((void **)pc, size);
}

void stk_c_verify(int on)
{
	tmk_cstack_verify(on);
}

void stk_c_thread_exit(void)
{
	tmk_cstack_thread_exit();
}

void stk_c_count(uint64_t *five)
{
	struct tmk_cstack_counts c = tmk_cstack_count();
	memcpy(five, &c, sizeof(c));
}
