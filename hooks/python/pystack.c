/* pystack.c - walks the calling thread's Python frames by raw reads.
 *
 * Called from: hooks, on any thread, under the guard, possibly under PyTorch's
 * allocator lock. Reads only what the calling thread itself keeps alive; see pystack.h.
 * Owns: the layout (written once, before `ready`) and what is remembered of stacks.
 */
#include "pystack.h"
#include "hot.h"
#include "latch.h"
#include "pycode.h"
#include "pylayout.h"
#include "pylayout_table.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define M1 0x9E3779B97F4A7C15ull
#define M2 0xC2B2AE3D27D4EB4Full
#define M3 0xD6E8FEB86659FD93ull

static TMK_HOT_DATA atomic_int ready;

/* Does the table say the same of this version? Then offsets are constants. */
static bool is_known(const struct tmk_py_layout *found)
{
	const struct tmk_py_layout *table =
	        &tmk_py_by_minor[found->minor - TMK_PY_FIRST];
	return !memcmp(table, found,
	               offsetof(struct tmk_py_layout, compact) + sizeof(int16_t));
}

/* 3.14 keeps tag bits in stack references; objects are at least 8-byte aligned. */
static inline const char *untag(const char *p)
{
	return (const char *)((uintptr_t)p & ~(uintptr_t)3);
}

/* In 3.11 and 3.12 a call site that the interpreter has specialised counts as standing
 * at its last inline cache instead of its first: the same line, another `where`. A
 * stack may so have two hashes, one from before its calls were warm. */
static inline int32_t where_of(const struct tmk_py_layout *py, const char *frame,
                               const char *code)
{
	if (py->ip_kind == TMK_PY_IP_POINTER)
		return (int32_t)(tmk_py_ptr(frame, py->ip) - (code + py->bytes));
	return tmk_py_i32(frame, py->ip) * (py->ip_kind == TMK_PY_IP_UNITS ? 2 : 1);
}

static inline const char *current_frame(const struct tmk_py_layout *py)
{
	/* NULL where the thread has no thread state, and after finalization. */
	const char *thread = tmk_py.this_thread();
	if (!thread)
		return NULL;
	const char *p = tmk_py_ptr(thread, py->current);
	return p && py->cframe >= 0 ? tmk_py_ptr(p, py->cframe) : p;
}

/* ---- a walk -------------------------------------------------------------------------- */

/* The module called in the innermost frame of an impl, from the innermost frame on. */
struct search {
	const char *found,
	        *plain; /* plain: local 0 of the _call_impl just inside, if any */
	int at, plain_at;
};

static inline const char *local(const struct tmk_py_layout *py, const char *frame)
{
	return untag(tmk_py_ptr(frame, py->locals));
}

static inline void look_for_module(struct search *s, const struct tmk_py_layout *py,
                                   const char *frame, int at, enum tmk_py_impl impl)
{
	const char *self = impl != TMK_PY_NO_IMPL ? local(py, frame) : NULL;
	s->at = at;
	if (impl == TMK_PY_WRAPPED) {
		s->found = self;
	} else if (s->plain) { /* it was called by something else than the wrapper */
		s->found = s->plain;
		s->at = s->plain_at;
	}
	s->plain = impl == TMK_PY_PLAIN ? self : NULL;
	s->plain_at = at;
}

TMK_COLD int tmk_pystack_walk(struct tmk_py_stack *out)
{
	memset(out, 0, offsetof(struct tmk_py_stack, frame));
	if (!atomic_load_explicit(&ready, memory_order_acquire))
		return 0;
	const struct tmk_py_layout *py = &tmk_py;
	struct search module = {0};
	uint64_t hash = M2, check = M3;
	int n = 0, at = -1;
	const char *frame = current_frame(py);

	for (; frame; frame = tmk_py_ptr(frame, py->previous)) {
		at++;
		/* Frames that the interpreter puts at each entry from C: owner 3,
		 * in 3.14 also 4; their code is None or a stub. */
		if (py->minor >= 12 && (unsigned char)frame[py->owner] >= 3)
			continue;
		const char *code = untag(tmk_py_ptr(frame, py->code));
		struct tmk_py_code c = {0, TMK_PY_NO_CODE};
		if (code)
			c = tmk_pycode_read(py, code);
		if (c.impl == TMK_PY_NO_CODE) {
			out->uncertain = 1;
			continue;
		}
		if (n == TMK_PY_DEPTH) {
			out->truncated = 1;
			break;
		}
		int32_t where = where_of(py, frame, code);
		uint64_t v = c.key + (uint64_t)(uint32_t)where * M1;
		hash ^= v;
		hash = (hash << 29 | hash >> 35) * M1;
		check = check * M2 + v;
		out->frame[n++] = (struct tmk_py_frame){code, c.key, where};
		if (!module.found && (c.impl != TMK_PY_NO_IMPL || module.plain))
			look_for_module(&module, py, frame, at, c.impl);
	}
	if (!module.found) {
		module.found = module.plain;
		module.at = module.plain_at;
	}
	out->depth = n;
	out->hash = n ? hash ^ hash >> 32 : 0;
	out->check = n ? check ^ check >> 32 : 0;
	if ((out->module = module.found)) {
		out->module_at = module.at;
		out->module_type = tmk_py_ptr(module.found, TMK_PY_OB_TYPE);
	}
	return n;
}

/* ---- stacks met before --------------------------------------------------------------- */

/* While no code object dies, a frame's code and instruction say what a walk finds out by
 * reading the code. So a stack is known again by these alone. */
enum { STACKS = 1 << 11, DEEPEST = 1024, NO_MODULE = DEEPEST };

/* Written without a lock: a slot counts if `check` is what print and known make of it. */
static _Alignas(64) struct {
	_Atomic uint64_t check, known; /* known: the number, above it module_at */
} stacks[STACKS];

static inline uint64_t check_of(uint64_t print, uint64_t known)
{
	return print + known * M2;
}

/* Of two slots in one line, the newer one's. */
static inline uint32_t place_of(uint64_t print)
{
	return (uint32_t)(print >> 32) % STACKS & ~1u;
}

static inline bool known_as(uint32_t i, uint64_t print, uint64_t *known)
{
	*known = atomic_load_explicit(&stacks[i].known, memory_order_relaxed);
	return atomic_load_explicit(&stacks[i].check, memory_order_relaxed) ==
	       check_of(print, *known);
}

static void keep(uint32_t i, uint64_t known, uint64_t check)
{
	atomic_store_explicit(&stacks[i].known, known, memory_order_relaxed);
	atomic_store_explicit(&stacks[i].check, check, memory_order_relaxed);
}

static inline __attribute__((always_inline)) bool
look_up(const struct tmk_py_layout *py, struct tmk_py_known *out, uint32_t generation)
{
	const uint64_t now =
	        atomic_load_explicit(&tmk_pycode_deaths, memory_order_relaxed);
	const char *const innermost = current_frame(py), *frame = innermost;
	uint64_t hash = now, codes = generation;
	int n = 0;

	*out = (struct tmk_py_known){0};
	if (!frame)
		return true;
	/* An odd factor each: one frame that differs makes another sum. */
	do {
		hash = hash * M1 + (py->ip_kind == TMK_PY_IP_POINTER
		                            ? (uint64_t)tmk_py_i64(frame, py->ip)
		                            : (uint32_t)tmk_py_i32(frame, py->ip));
		codes = codes * M2 + (uintptr_t)tmk_py_ptr(frame, py->code);
		frame = tmk_py_ptr(frame, py->previous);
	} while (++n < DEEPEST && frame);
	if (frame || !now)
		return false;
	uint64_t print = (hash ^ hash >> 32) * M2 ^ codes;
	print = (print ^ print >> 29) * M1 | 1;
	out->print = print;
	uint64_t known;
	if (!known_as(place_of(print), print, &known) &&
	    !known_as(place_of(print) + 1, print, &known))
		return false;
	out->id = (uint32_t)known;
	int at = (int)(known >> 32);
	if (at == NO_MODULE)
		return true;
	for (frame = innermost; at > 0; at--)
		frame = tmk_py_ptr(frame, py->previous);
	out->module = local(py, frame);
	if (!out->module) /* deleted: look further out */
		return false;
	out->module_type = tmk_py_ptr(out->module, TMK_PY_OB_TYPE);
	return true;
}

void tmk_pystack_remember(const struct tmk_py_known *k, const struct tmk_py_stack *s,
                          uint32_t id)
{
	const uint64_t at = s->module ? (uint64_t)s->module_at : NO_MODULE;
	const uint64_t known = at << 32 | id;
	const uint32_t i = place_of(k->print);
	uint64_t before;
	/* Another object without code may come to the same address, and nobody counts. */
	if (!k->print || s->uncertain)
		return;
	if (!known_as(i, k->print, &before))
		keep(i + 1, before,
		     atomic_load_explicit(&stacks[i].check, memory_order_relaxed));
	keep(i, known, check_of(k->print, known));
}

/* ---- by version ---------------------------------------------------------------------- */

/* A function for each, inlined: offsets in the instructions, not in memory. */
typedef bool known_walker(struct tmk_py_known *, uint32_t);
#define KNOWN_BY(version, layout)                                                      \
	static TMK_HOT bool known_##version(struct tmk_py_known *out, uint32_t gen)    \
	{                                                                              \
		return look_up(layout, out, gen);                                      \
	}
#define KNOWN(minor) KNOWN_BY(minor, &tmk_py_by_minor[(minor)-TMK_PY_FIRST])
KNOWN(8)
KNOWN(9)
KNOWN(10)
KNOWN(11)
KNOWN(12)
KNOWN(13)
KNOWN(14)
KNOWN_BY(found, &tmk_py)

static bool nothing_known(struct tmk_py_known *out, uint32_t generation)
{
	(void)generation;
	*out = (struct tmk_py_known){0};
	return true;
}

static TMK_HOT_DATA known_walker *_Atomic known_walk = nothing_known;

static void choose_walker(void)
{
	static known_walker *const by_minor[] = {known_8,  known_9,  known_10, known_11,
	                                         known_12, known_13, known_14};
	atomic_store_explicit(&known_walk,
	                      is_known(&tmk_py) ? by_minor[tmk_py.minor - TMK_PY_FIRST]
	                                        : known_found,
	                      memory_order_release);
}

TMK_HOT bool tmk_pystack_known(struct tmk_py_known *out, uint32_t generation)
{
	return atomic_load_explicit(&known_walk, memory_order_acquire)(out, generation);
}

int tmk_pystack_init(char *why, size_t n)
{
	if (atomic_load_explicit(&ready, memory_order_acquire))
		return 0;
	struct tmk_py_layout found;
	int rc = tmk_pylayout_find(&found, why, n);
	if (rc)
		return rc;
	tmk_latch(TMK_LATCH_LAYOUT);
	if (!atomic_load_explicit(&ready, memory_order_relaxed)) {
		tmk_py = found;
		choose_walker();
		atomic_store_explicit(&ready, 1, memory_order_release);
	}
	tmk_unlatch(TMK_LATCH_LAYOUT);
	return 0;
}

const char *tmk_pystack_class(const void *module, char *buf, size_t n)
{
	/* tp_name of a class made in Python is its __name__, UTF-8, owned by the type.
	 */
	snprintf(buf, n, "%s",
	         module ? tmk_py_ptr(tmk_py_ptr(module, TMK_PY_OB_TYPE),
	                             TMK_PY_TYPE_NAME)
	                : "");
	return buf;
}
