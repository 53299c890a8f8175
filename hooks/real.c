/* real.c - finding the functions of hooks.def in this process.
 * Called from: every wrapper whose real function is not there yet, and from the first
 * torch call that comes outside any lock (late.c). Owns: tmk_real. */
#include "real.h"

#include <dlfcn.h>
#include <link.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "emit.h"
#include "hot.h"

TMK_HOT_DATA struct tmk_real tmk_real;

static const struct {
	const char *prefix; /* distributions say libc10.so.1.13 */
} libraries[] = {
        [TMK_LIB_C10] = {"libc10.so"},
        [TMK_LIB_CPU] = {"libtorch_cpu.so"},
        [TMK_LIB_C10_CUDA] = {"libc10_cuda.so"},
        [TMK_LIB_CUDART] = {"libcudart.so"},
        [TMK_LIB_CUDA] = {"libcuda.so"},
        [TMK_LIB_NCCL] = {"libnccl.so"},
        [TMK_LIB_LIBC] = {"libc.so"},
};

static const struct row {
	uint8_t library;
	bool interposed;
	void **real;
	const char *symbol, *need;
} rows[] = {
#define HOOK(field, library, need, result, arguments, symbol)                          \
	{TMK_LIB_##library, true, (void **)&tmk_real.field, #symbol, #need},
#define HOOK_TOO HOOK
#define REAL(field, library, need, result, arguments, symbol)                          \
	{TMK_LIB_##library, false, (void **)&tmk_real.field, #symbol, #need},
#define REAL_TOO REAL
#include "hooks.def"
#undef HOOK
#undef HOOK_TOO
#undef REAL
#undef REAL_TOO
};
enum { ROWS = sizeof rows / sizeof *rows };

struct search {
	const char *prefix;
	char *path;
	size_t size;
};

static int match(struct dl_phdr_info *info, size_t size, void *context)
{
	struct search *s = context;
	(void)size;
	const char *base = strrchr(info->dlpi_name, '/');
	base = base ? base + 1 : info->dlpi_name;
	size_t n = strlen(s->prefix);
	if (strncmp(base, s->prefix, n) || (base[n] && base[n] != '.'))
		return 0;
	snprintf(s->path, s->size, "%s", info->dlpi_name);
	return 1;
}

bool tmk_library_path(enum tmk_library library, char *path, size_t size)
{
	struct search s = {libraries[library].prefix, path, size};
	return dl_iterate_phdr(match, &s) == 1;
}

/* A function that is not ours: our own definition may be what a look-up finds first. */
static void *foreign(void *found, const char *symbol)
{
	static void *self;
	Dl_info info;
	if (!self && dladdr((void *)tmk_resolve, &info))
		self = info.dli_fbase;
	(void)symbol;
	return found && dladdr(found, &info) && info.dli_fbase == self ? NULL : found;
}

bool tmk_resolve(enum tmk_library library)
{
	char path[4096];
	bool loaded = tmk_library_path(library, path, sizeof path);
	void *handle = loaded ? dlopen(path, RTLD_NOLOAD | RTLD_LAZY) : NULL;
	bool found = false;
	for (int i = 0; i < ROWS; i++) {
		const struct row *r = &rows[i];
		if (r->library != library)
			continue;
		if (!*r->real) {
			void *p = foreign(dlsym(RTLD_NEXT, r->symbol), r->symbol);
			if (!p && handle)
				p = foreign(dlsym(handle, r->symbol), r->symbol);
			*r->real = p;
		}
		found |= *r->real != NULL;
	}
	if (handle)
		dlclose(handle); /* the reference of RTLD_NOLOAD; the library stays */
	return found;
}

/* Needs that one of several functions answers: which one depends on torch's version. */
static bool any_will_do(const char *need)
{
	return !strcmp(need, "graph_task") || !strcmp(need, "expandable_segments") ||
	       !strcmp(need, "quiet_pointers");
}

/* Is it a library that this process would have if it needed it? A run on the CPU lacks
 * nothing for not having CUDA. */
static bool expected(uint8_t library)
{
	char path[4096];
	return library <= TMK_LIB_CPU || library == TMK_LIB_LIBC ||
	       (library != TMK_LIB_NCCL && library != TMK_LIB_CUDA &&
	        tmk_library_path(TMK_LIB_C10_CUDA, path, sizeof path));
}

/* Several functions may stand behind one capability: it is there if all of them are, or
 * any where any will do, and says which is not. */
void tmk_report_capabilities(void)
{
	for (int i = 0; i < ROWS; i++) {
		bool first = true, found = false;
		const char *missing = NULL;
		for (int j = 0; j < ROWS; j++) {
			if (strcmp(rows[j].need, rows[i].need))
				continue;
			first = first && j >= i;
			found |= *rows[j].real != NULL;
			if (!*rows[j].real && !missing)
				missing = rows[j].symbol;
		}
		if (!first || (!found && !expected(rows[i].library)))
			continue;
		if (found && any_will_do(rows[i].need))
			missing = NULL;
		char why[256] = "";
		if (missing)
			snprintf(why, sizeof why, "%s is not in this process", missing);
		tmk_emit_capability(rows[i].need, missing ? "missing" : "live", why);
	}
}
