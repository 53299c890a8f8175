/* pycode.c - reading code objects, and noticing when one dies.
 * Called from: pystack.c on any thread, for codes that the thread's own frames keep alive;
 * by Python, holding the GIL, where a code object dies. Owns: the count of the dead. */
#include "pycode.h"

#include <dlfcn.h>
#include <string.h>

#include "hot.h"
#include "pytext.h"

#define M1 0x9E3779B97F4A7C15ull
#define M2 0xC2B2AE3D27D4EB4Full
#define M3 0xD6E8FEB86659FD93ull
#define M4 0xFF51AFD7ED558CCDull

TMK_HOT_DATA _Atomic uint64_t tmk_pycode_deaths;

/* co_name is interned, so its hash is always computed. The file is a different string
 * object for each module that lives, but its address may be reused: its length and its
 * last eight bytes go in as well. Four products that do not wait for each other. */
static inline uint64_t key_of(const struct tmk_py_layout *py, const char *code,
                              const char *name)
{
	const char *file = tmk_py_ptr(code, py->file);
	uint64_t length = (uint64_t)tmk_py_i64(file, TMK_PY_OB_SIZE), tail = 0;
	if (length >= 8)
		tail = (uint64_t)tmk_py_i64(file + py->ascii + length, -8);
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

static const struct {
	const char *name;
	int64_t length;
} impls[TMK_PY_NO_IMPL] = {{"_wrapped_call_impl", 18}, {"_call_impl", 10}};

/* By name and file. */
static enum tmk_py_impl identify(const char *code, const char *name)
{
	static const char impl_file[] = "torch/nn/modules/module.py";
	char file[sizeof(impl_file) + 4];
	for (int i = 0; i < TMK_PY_NO_IMPL; i++) {
		if (tmk_py_i64(name, TMK_PY_OB_SIZE) != impls[i].length ||
		    memcmp(name + tmk_py.ascii, impls[i].name,
		           (size_t)impls[i].length) != 0)
			continue;
		tmk_py_utf8(tmk_py_ptr(code, tmk_py.file), file, sizeof(file), 1);
		size_t n = strlen(file);
		if (n >= sizeof(impl_file) - 1 &&
		    strcmp(file + n - (sizeof(impl_file) - 1), impl_file) == 0)
			return (enum tmk_py_impl)i;
	}
	return TMK_PY_NO_IMPL;
}

/* A key can't change its meaning, so an impl is known again by it. */
static enum tmk_py_impl impl_of(const char *code, const char *name, uint64_t key)
{
	static _Atomic uint64_t known[TMK_PY_NO_IMPL];
	for (int i = 0; i < TMK_PY_NO_IMPL; i++)
		if (key == atomic_load_explicit(&known[i], memory_order_relaxed))
			return (enum tmk_py_impl)i;
	enum tmk_py_impl impl = identify(code, name);
	if (impl != TMK_PY_NO_IMPL)
		atomic_store_explicit(&known[impl], key, memory_order_relaxed);
	return impl;
}

struct tmk_py_code tmk_pycode_read(const struct tmk_py_layout *py, const char *code)
{
	if (tmk_py_ptr(code, TMK_PY_OB_TYPE) != tmk_py.code_type)
		return (struct tmk_py_code){0, TMK_PY_NO_CODE};
	const char *name = tmk_py_ptr(code, py->name);
	uint64_t key = key_of(py, code, name);
	return (struct tmk_py_code){key, impl_of(code, name, key)};
}

/* ---- deaths ---------------------------------------------------------------------------- */

static void (*free_code)(void *);

/* Whoever finds another code at this address came by the GIL, which is held here: it sees
 * the count. */
static void code_dies(void *code)
{
	atomic_fetch_add_explicit(&tmk_pycode_deaths, 1, memory_order_relaxed);
	free_code(code);
}

void tmk_pycode_watch(void)
{
	void (**slot)(void *) =
	        (void *)((char *)tmk_py.code_type + TMK_PY_TYPE_DEALLOC);
	Dl_info type, function;
	if (!tmk_py.minor || atomic_load(&tmk_pycode_deaths))
		return;
	/* Python's own function, or this is not the slot that it is taken for. */
	if (!dladdr(tmk_py.code_type, &type) || !dladdr((void *)*slot, &function) ||
	    type.dli_fbase != function.dli_fbase)
		return;
	free_code = *slot;
	*slot = code_dies;
	atomic_store(&tmk_pycode_deaths, 1);
}
