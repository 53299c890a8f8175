/* pystack.c - walks the calling thread's Python frames by raw reads.
 *
 * Called from: hooks, on any thread, under the guard, possibly under PyTorch's
 * allocator lock. Reads only what the calling thread itself keeps alive; see pystack.h.
 * Owns: the layout (written once, before `ready`) and two remembered keys.
 */
#include "pystack.h"
#include "hot.h"
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
#define M4 0xFF51AFD7ED558CCDull

TMK_HOT_DATA struct tmk_py_layout tmk_py;
static TMK_HOT_DATA atomic_int ready;
static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;

/* The method in which a module is called, local 0 being the module: _wrapped_call_impl
 * from torch 2.1, _call_impl before (and inside the former afterwards, where self may
 * be a cell). Remembered by key, not by address: a key can't change its meaning. */
enum { WRAPPED, PLAIN, IMPLS };
static const struct {
	const char *name;
	int64_t length;
} impls[IMPLS] = {{"_wrapped_call_impl", 18}, {"_call_impl", 10}};
static const char impl_file[] = "torch/nn/modules/module.py";
static TMK_HOT_DATA _Atomic uint64_t impl_key[IMPLS];

/* Does the table say the same of this version? Then offsets are constants. */
static TMK_HOT_DATA bool is_known;
static bool known(const struct tmk_py_layout *found)
{
	const struct tmk_py_layout *table =
	        &tmk_py_by_minor[found->minor - TMK_PY_FIRST];
	return !memcmp(table, found,
	               offsetof(struct tmk_py_layout, compact) + sizeof(int16_t));
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
		is_known = known(&found);
		atomic_store_explicit(&ready, 1, memory_order_release);
	}
	pthread_mutex_unlock(&init_lock);
	return 0;
}

/* 3.14 keeps tag bits in stack references; objects are at least 8-byte aligned. */
static inline const char *untag(const char *p)
{
	return (const char *)((uintptr_t)p & ~(uintptr_t)3);
}

/* An address of a code object is reused after it dies (exec, torch.compile), so a code
 * is known by what it says. co_name is interned, so its hash is always computed. The
 * file is a different string object for each module that lives, but its address may be
 * reused too: its length and its last eight bytes go in as well. Four products that do
 * not wait for each other: this is the cost of a walk. */
static inline uint64_t key_of(const struct tmk_py_layout *py, const char *code,
                              const char *name)
{
	const char *file = tmk_py_ptr(code, py->file);
	uint64_t length = (uint64_t)tmk_py_i64(file, TMK_PY_OB_SIZE), tail = 0;
	if (length >= 8)
		memcpy(&tail, file + py->ascii + length - 8, 8);
	uint64_t line = (uint32_t)tmk_py_i32(code, py->first_line);
	/* 3.11+: ob_size counts the instructions, which tells the original from a
	 * rewritten copy (torch.compile) that has the same name and line. */
	uint64_t size = py->ip_kind == TMK_PY_IP_POINTER
	                        ? (uint32_t)tmk_py_i64(code, TMK_PY_OB_SIZE)
	                        : 0;
	return (uint64_t)tmk_py_i64(name, TMK_PY_STR_HASH) * M1 +
	       (uint64_t)(uintptr_t)file * M2 + (line << 32 | size) * M3 +
	       (tail + length) * M4;
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

/* Which of impls[] this code is, or -1, by reading its name and file. */
static __attribute__((noinline)) int identify_impl(const char *code,
                                                   int64_t name_length)
{
	char file[sizeof impl_file + 4];
	const char *name = tmk_py_ptr(code, tmk_py.name);
	for (int i = 0; i < IMPLS; i++) {
		if (name_length != impls[i].length ||
		    memcmp(name + tmk_py.ascii, impls[i].name, (size_t)name_length) !=
		            0)
			continue;
		tmk_py_utf8(tmk_py_ptr(code, tmk_py.file), file, sizeof file, 1);
		size_t n = strlen(file);
		if (n >= sizeof impl_file - 1 &&
		    strcmp(file + n - (sizeof impl_file - 1), impl_file) == 0)
			return i;
	}
	return -1;
}

static __attribute__((noinline)) int impl_of(const char *code, uint64_t key,
                                             int64_t length)
{
	for (int i = 0; i < IMPLS; i++)
		if (key == atomic_load_explicit(&impl_key[i], memory_order_relaxed))
			return i;
	int i = identify_impl(code, length);
	if (i >= 0)
		atomic_store_explicit(&impl_key[i], key, memory_order_relaxed);
	return i;
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

/* The module called in the innermost frame of impls[], from the innermost frame on. */
struct search {
	const char *found,
	        *plain; /* plain: local 0 of the _call_impl just inside, if any */
};

static inline void look_for_module(struct search *s, const char *frame, int impl)
{
	const char *local = impl >= 0 ? untag(tmk_py_ptr(frame, tmk_py.locals)) : NULL;
	if (impl == WRAPPED)
		s->found = local;
	else if (s->plain) /* it was called by something else than the wrapper */
		s->found = s->plain;
	s->plain = impl == PLAIN ? local : NULL;
}

/* Inlined once for each version: offsets in the instructions, not in memory. And without
 * `frames` once more, which stops at the module. */
static inline __attribute__((always_inline)) int
walk(const struct tmk_py_layout *py, struct tmk_py_stack *out, const bool frames)
{
	struct search module = {NULL, NULL};
	uint64_t hash = M2, check = M3;
	int n = 0;

	const void *code_type = tmk_py.code_type;
	const char *frame = current_frame(py);
	out->truncated = 0;
	for (; frame; frame = tmk_py_ptr(frame, py->previous)) {
		/* Frames that the interpreter puts at each entry from C: owner 3,
		 * in 3.14 also 4; their code is None or a stub. */
		if (py->minor >= 12 && (unsigned char)frame[py->owner] >= 3)
			continue;
		const char *code = untag(tmk_py_ptr(frame, py->code));
		if (!code || tmk_py_ptr(code, TMK_PY_OB_TYPE) != code_type)
			continue;
		if (n == TMK_PY_DEPTH) {
			out->truncated = 1;
			break;
		}
		const char *name = tmk_py_ptr(code, py->name);
		struct tmk_py_frame *f = &out->frame[n++];
		if (frames) {
			f->code = code;
			f->key = key_of(py, code, name);
			f->where = where_of(py, frame, code);
			uint64_t v = f->key + (uint64_t)(uint32_t)f->where * M1;
			hash = (hash ^ v) * M1;
			hash ^= hash >> 32;
			check = (check + v) * M2;
			check ^= check >> 29;
		}
		if (module.found && !frames)
			break;
		if (module.found)
			continue;
		int64_t length = tmk_py_i64(name, TMK_PY_OB_SIZE);
		int impl = -1;
		if (length == impls[WRAPPED].length || length == impls[PLAIN].length)
			impl = impl_of(code, frames ? f->key : key_of(py, code, name),
			               length);
		if (impl >= 0 || module.plain)
			look_for_module(&module, frame, impl);
	}
	if (!module.found)
		module.found = module.plain;
	out->depth = frames ? n : 0;
	out->hash = out->depth ? hash : 0;
	out->check = out->depth ? check : 0;
	out->module = module.found;
	out->module_type =
	        module.found ? tmk_py_ptr(module.found, TMK_PY_OB_TYPE) : NULL;
	return n;
}

static inline __attribute__((always_inline)) int dispatch(struct tmk_py_stack *out,
                                                          const bool frames)
{
	if (!atomic_load_explicit(&ready, memory_order_acquire)) {
		memset(out, 0, offsetof(struct tmk_py_stack, frame));
		return 0;
	}
	switch (is_known ? tmk_py.minor : 0) {
#define VERSION(minor)                                                                 \
	case minor:                                                                    \
		return walk(&tmk_py_by_minor[(minor)-TMK_PY_FIRST], out, frames)
		VERSION(8);
		VERSION(9);
		VERSION(10);
		VERSION(11);
		VERSION(12);
		VERSION(13);
		VERSION(14);
	}
	return walk(&tmk_py, out, frames);
}

TMK_HOT int tmk_pystack_walk(struct tmk_py_stack *out)
{
	return dispatch(out, true);
}

TMK_HOT int tmk_pystack_module(struct tmk_py_stack *out)
{
	return dispatch(out, false);
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
