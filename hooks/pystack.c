/* pystack.c - walks the calling thread's Python frames by raw reads.
 *
 * Called from: hooks, on any thread, under the guard, possibly under PyTorch's
 * allocator lock. Reads only what the calling thread itself keeps alive; see pystack.h.
 * Owns: the layout (written once, before `ready`) and two remembered keys.
 */
#include "pystack.h"
#include "pylayout.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define M1 0x9E3779B97F4A7C15ull
#define M2 0xC2B2AE3D27D4EB4Full
#define M3 0xD6E8FEB86659FD93ull

struct tmk_py_layout tmk_py;
static atomic_int ready;
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
static _Atomic uint64_t impl_key[IMPLS];

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

static inline uint64_t mix(uint64_t h, uint64_t v, uint64_t multiplier)
{
	h = (h ^ v) * multiplier;
	return h ^ h >> 32;
}

/* An address of a code object is reused after it dies (exec, torch.compile), so a code
 * is known by what it says. co_name is interned, so its hash is always computed. The
 * file is a different string object for each module that lives, but its address may be
 * reused too: its length and its last eight bytes go in as well. */
static inline uint64_t key_of(const char *code)
{
	const char *name = tmk_py_ptr(code, tmk_py.name);
	const char *file = tmk_py_ptr(code, tmk_py.file);
	uint64_t length = (uint64_t)tmk_py_i64(file, TMK_PY_OB_SIZE), tail = 0;
	if (length >= 8)
		memcpy(&tail, file + tmk_py.ascii + length - 8, 8);
	uint64_t line = (uint32_t)tmk_py_i32(code, tmk_py.first_line);
	/* 3.11+: ob_size counts the instructions, which tells the original from a
	 * rewritten copy (torch.compile) that has the same name and line. */
	uint64_t size =
	        tmk_py.minor >= 11 ? (uint32_t)tmk_py_i64(code, TMK_PY_OB_SIZE) : 0;
	uint64_t a =
	        mix((uint64_t)tmk_py_i64(name, TMK_PY_STR_HASH), line << 32 | size, M1);
	uint64_t b = mix((uint64_t)(uintptr_t)file, tail + length, M2);
	return mix(a, b, M3);
}

/* In 3.11 and 3.12 a call site that the interpreter has specialised counts as standing
 * at its last inline cache instead of its first: the same line, another `where`. A
 * stack may so have two hashes, one from before its calls were warm. */
static inline int32_t where_of(const char *frame, const char *code)
{
	switch (tmk_py.ip_kind) {
	case TMK_PY_IP_POINTER:
		return (int32_t)(tmk_py_ptr(frame, tmk_py.ip) - (code + tmk_py.bytes));
	case TMK_PY_IP_UNITS:
		return tmk_py_i32(frame, tmk_py.ip) * 2;
	default:
		return tmk_py_i32(frame, tmk_py.ip);
	}
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

static inline int impl_of(const char *code, uint64_t key)
{
	int64_t n = tmk_py_i64(tmk_py_ptr(code, tmk_py.name), TMK_PY_OB_SIZE);
	if (n != impls[WRAPPED].length && n != impls[PLAIN].length)
		return -1;
	for (int i = 0; i < IMPLS; i++)
		if (key == atomic_load_explicit(&impl_key[i], memory_order_relaxed))
			return i;
	int i = identify_impl(code, n);
	if (i >= 0)
		atomic_store_explicit(&impl_key[i], key, memory_order_relaxed);
	return i;
}

static inline const char *current_frame(void)
{
	/* NULL where the thread has no thread state, and after finalization. */
	const char *thread = tmk_py.this_thread();
	if (!thread)
		return NULL;
	const char *p = tmk_py_ptr(thread, tmk_py.current);
	return p && tmk_py.cframe >= 0 ? tmk_py_ptr(p, tmk_py.cframe) : p;
}

/* Frames that the interpreter puts at each entry from C: owner 3 (3.12) and 4 (3.14).
 */
static inline int is_shim(const char *frame)
{
	return tmk_py.minor >= 12 && (unsigned char)frame[tmk_py.owner] >= 3;
}

int tmk_pystack_walk(struct tmk_py_stack *out)
{
	const char *module = NULL, *plain = NULL;
	int inner = -1, n = 0;
	uint64_t hash = M2, check = M3;

	out->truncated = 0;
	const char *frame = NULL;
	if (atomic_load_explicit(&ready, memory_order_acquire))
		frame = current_frame();
	for (; frame; frame = tmk_py_ptr(frame, tmk_py.previous)) {
		if (is_shim(frame))
			continue;
		const char *code = untag(tmk_py_ptr(frame, tmk_py.code));
		if (!code || tmk_py_ptr(code, TMK_PY_OB_TYPE) != tmk_py.code_type)
			continue; /* None or a builtin, in frames of no code */
		if (n == TMK_PY_DEPTH) {
			out->truncated = 1;
			break;
		}
		struct tmk_py_frame *f = &out->frame[n++];
		f->code = code;
		f->key = key_of(code);
		f->where = where_of(frame, code);
		uint64_t v = f->key + (uint64_t)(uint32_t)f->where * M1;
		hash = mix(hash, v, M1);
		check = mix(check, v, M2) + v;
		if (module)
			continue;
		int impl = impl_of(code, f->key);
		if (impl == WRAPPED)
			module = untag(tmk_py_ptr(frame, tmk_py.locals));
		else if (inner == PLAIN) /* the frame just inside was called directly */
			module = plain;
		if (impl == PLAIN)
			plain = untag(tmk_py_ptr(frame, tmk_py.locals));
		inner = impl;
	}
	if (!module && inner == PLAIN)
		module = plain;
	out->depth = n;
	out->hash = n ? hash : 0;
	out->check = n ? check : 0;
	out->module = module;
	out->module_type = module ? tmk_py_ptr(module, TMK_PY_OB_TYPE) : NULL;
	return n;
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
