/* pycode.h - what a code object is, by what it says. For pystack.c, which inlines it.
 *
 * The address of a code object is reused after it dies (exec, torch.compile): a code is
 * known by a key made of its contents. Reading them is most of a walk, so keys are
 * remembered by address, from when on the death of a code object is noticed. */
#ifndef TIDEMARK_HOOKS_PYCODE_H
#define TIDEMARK_HOOKS_PYCODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "pylayout.h"

/* The method in which a module is called, local 0 being the module: _wrapped_call_impl
 * from torch 2.1, _call_impl before (and inside the former afterwards, where self may
 * be a cell). */
enum tmk_py_impl { TMK_PY_WRAPPED, TMK_PY_PLAIN, TMK_PY_NO_IMPL, TMK_PY_NO_CODE };

struct tmk_py_code {
	uint64_t key; /* same contents, same key */
	enum tmk_py_impl impl;
};

/* Begins to notice deaths: puts a function of ours in front of the one that Python frees
 * code objects with, which counts and goes on to it. Holding the GIL, once the layout is
 * known; any number of times. Without it every key is read anew. */
void tmk_pycode_watch(void);

/* ---- private to the inline functions -------------------------------------------------- */

enum { TMK_PY_KEYS = 256 };

/* Written without a lock: a slot counts if `check` is what code, key, impl and the number
 * of deaths make of each other. */
struct tmk_py_memory {
	_Atomic uint64_t deaths; /* 0: nobody counts */
	struct {
		_Atomic uint64_t key, check;
	} slot[TMK_PY_KEYS];
};
extern struct tmk_py_memory tmk_py_memory;

/* Reads the contents of an object, which may be no code; without want_key only what may be
 * an impl. */
struct tmk_py_code tmk_pycode_read(const struct tmk_py_layout *py, const char *code,
                                   bool want_key);
struct tmk_py_code tmk_pycode_learn(const struct tmk_py_layout *py, const char *code,
                                    uint64_t now);

static inline uint32_t tmk_pycode_place(const char *code)
{
	return (uint32_t)((uintptr_t)code * 0x9E3779B97F4A7C15ull >> 56) % TMK_PY_KEYS;
}

/* What the number of deaths is worth in a check: the same for all frames of a walk. */
static inline uint64_t tmk_pycode_now(void)
{
	return atomic_load_explicit(&tmk_py_memory.deaths, memory_order_relaxed) *
	       0xC2B2AE3D27D4EB4Full;
}

/* Its two lowest bits, free for the impl, are 0. */
static inline uint64_t tmk_pycode_check(const char *code, uint64_t key, uint64_t now)
{
	return ((uintptr_t)code + (key << 23 | key >> 41) + now) & ~3ull;
}

/* Of the object that a frame has for its code. What is remembered is not touched. */
static inline struct tmk_py_code tmk_pycode_of(const struct tmk_py_layout *py,
                                               const char *code, uint64_t now,
                                               bool want_key)
{
	if (__builtin_expect(!now, 0))
		return tmk_pycode_read(py, code, want_key);
	uint32_t i = tmk_pycode_place(code);
	uint64_t key =
	        atomic_load_explicit(&tmk_py_memory.slot[i].key, memory_order_relaxed);
	uint64_t check = atomic_load_explicit(&tmk_py_memory.slot[i].check,
	                                      memory_order_relaxed);
	/* the impl is below 4: what is left of a check that holds */
	uint64_t impl = check - tmk_pycode_check(code, key, now);
	if (__builtin_expect(impl < 4, 1))
		return (struct tmk_py_code){key, (enum tmk_py_impl)impl};
	return tmk_pycode_learn(py, code, now);
}

#endif
