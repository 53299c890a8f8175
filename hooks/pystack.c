/* pystack.c - walks the calling thread's Python frames by raw reads.
 *
 * Called from: hooks, on any thread, under the guard, possibly under PyTorch's
 * allocator lock. Reads only what the calling thread itself keeps alive; see pystack.h.
 * Owns: the layout (written once, before `ready`).
 */
#include "pystack.h"
#include "hot.h"
#include "pycode.h"
#include "pylayout.h"
#include "pylayout_table.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define M1 0x9E3779B97F4A7C15ull
#define M2 0xC2B2AE3D27D4EB4Full
#define M3 0xD6E8FEB86659FD93ull

TMK_HOT_DATA struct tmk_py_layout tmk_py;
static TMK_HOT_DATA atomic_int ready;
static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;

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

/* The module called in the innermost frame of an impl, from the innermost frame on. */
struct search {
	const char *found,
	        *plain; /* plain: local 0 of the _call_impl just inside, if any */
};

static inline void look_for_module(struct search *s, const char *frame,
                                   enum tmk_py_impl impl)
{
	const char *local =
	        impl != TMK_PY_NO_IMPL ? untag(tmk_py_ptr(frame, tmk_py.locals)) : NULL;
	if (impl == TMK_PY_WRAPPED)
		s->found = local;
	else if (s->plain) /* it was called by something else than the wrapper */
		s->found = s->plain;
	s->plain = impl == TMK_PY_PLAIN ? local : NULL;
}

/* What is wanted of a walk: the module, the hashes of the stack too, or all of it. */
enum walk { MODULE, HASHES, FRAMES };

/* Inlined once for each version and purpose: offsets in the instructions, not in memory. */
static inline __attribute__((always_inline)) int
walk(const struct tmk_py_layout *py, struct tmk_py_stack *out, const enum walk wanted)
{
	struct search module = {NULL, NULL};
	uint64_t hash = M2, check = M3;
	int n = 0;
	const uint64_t now = tmk_pycode_now();
	const char *frame = current_frame(py);

	out->truncated = 0;
	for (; frame; frame = tmk_py_ptr(frame, py->previous)) {
		/* Frames that the interpreter puts at each entry from C: owner 3,
		 * in 3.14 also 4; their code is None or a stub. */
		if (py->minor >= 12 && (unsigned char)frame[py->owner] >= 3)
			continue;
		const char *code = untag(tmk_py_ptr(frame, py->code));
		if (!code)
			continue;
		struct tmk_py_code c = tmk_pycode_of(py, code, now, wanted != MODULE);
		if (c.impl == TMK_PY_NO_CODE)
			continue;
		if (n == TMK_PY_DEPTH) {
			out->truncated = 1;
			break;
		}
		if (wanted != MODULE) {
			int32_t where = where_of(py, frame, code);
			uint64_t v = c.key + (uint64_t)(uint32_t)where * M1;
			hash ^= v;
			hash = (hash << 29 | hash >> 35) * M1;
			check = check * M2 + v;
			if (wanted == FRAMES)
				out->frame[n] =
				        (struct tmk_py_frame){code, c.key, where};
		}
		n++;
		if (module.found && wanted == MODULE)
			break;
		if (!module.found && (c.impl != TMK_PY_NO_IMPL || module.plain))
			look_for_module(&module, frame, c.impl);
	}
	if (!module.found)
		module.found = module.plain;
	out->depth = wanted == MODULE ? 0 : n;
	out->hash = out->depth ? hash ^ hash >> 32 : 0;
	out->check = out->depth ? check ^ check >> 32 : 0;
	out->module = module.found;
	out->module_type =
	        module.found ? tmk_py_ptr(module.found, TMK_PY_OB_TYPE) : NULL;
	return n;
}

/* A function for each, as what a walk runs through should lie together. */
typedef int walker(struct tmk_py_stack *);
#define WALKERS(version, layout)                                                       \
	static TMK_HOT int hashes_##version(struct tmk_py_stack *out)                  \
	{                                                                              \
		return walk(layout, out, HASHES);                                      \
	}                                                                              \
	static TMK_HOT int module_##version(struct tmk_py_stack *out)                  \
	{                                                                              \
		return walk(layout, out, MODULE);                                      \
	}
#define KNOWN(minor) WALKERS(minor, &tmk_py_by_minor[(minor)-TMK_PY_FIRST])
KNOWN(8)
KNOWN(9)
KNOWN(10)
KNOWN(11)
KNOWN(12)
KNOWN(13)
KNOWN(14)
WALKERS(found, &tmk_py)

static int no_walk(struct tmk_py_stack *out)
{
	memset(out, 0, offsetof(struct tmk_py_stack, frame));
	return 0;
}

static TMK_HOT_DATA walker *_Atomic hashes_walk = no_walk,
                                    *_Atomic module_walk = no_walk;

static void choose_walkers(void)
{
	static const struct {
		walker *hashes, *module;
	} by_minor[] = {{hashes_8, module_8},   {hashes_9, module_9},
	                {hashes_10, module_10}, {hashes_11, module_11},
	                {hashes_12, module_12}, {hashes_13, module_13},
	                {hashes_14, module_14}};
	const int version = tmk_py.minor - TMK_PY_FIRST;
	const bool known = is_known(&tmk_py);
	atomic_store_explicit(&module_walk,
	                      known ? by_minor[version].module : module_found,
	                      memory_order_release);
	atomic_store_explicit(&hashes_walk,
	                      known ? by_minor[version].hashes : hashes_found,
	                      memory_order_release);
}

TMK_HOT int tmk_pystack_walk(struct tmk_py_stack *out)
{
	return atomic_load_explicit(&hashes_walk, memory_order_acquire)(out);
}

TMK_COLD int tmk_pystack_frames(struct tmk_py_stack *out)
{
	return atomic_load_explicit(&ready, memory_order_acquire)
	               ? walk(&tmk_py, out, FRAMES)
	               : no_walk(out);
}

TMK_HOT int tmk_pystack_module(struct tmk_py_stack *out)
{
	return atomic_load_explicit(&module_walk, memory_order_acquire)(out);
}

int tmk_pystack_init(char *why, size_t n)
{
	if (atomic_load_explicit(&ready, memory_order_acquire))
		return 0;
	struct tmk_py_layout found;
	int rc = tmk_pylayout_find(&found, why, n);
	if (rc)
		return rc;
	pthread_mutex_lock(&init_lock);
	if (!atomic_load_explicit(&ready, memory_order_relaxed)) {
		tmk_py = found;
		choose_walkers();
		atomic_store_explicit(&ready, 1, memory_order_release);
	}
	pthread_mutex_unlock(&init_lock);
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
