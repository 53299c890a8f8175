/* provider.c - which objects define what, and which libraries are there.
 * Called from: real.c, prepare.c and about.c; any thread. Owns nothing. */
#include "provider.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "caller.h"
#include "object.h"

/* Distributions say libc10.so.1.13, wheels libcudart-1a2b3c4d.so.12. What is in one of them
 * and in nothing else tells of a library that has another name, or is part of a bigger one. */
static const struct {
	const char *stem, *mark;
} libraries[] = {
        [TMK_LIB_C10] = {"libc10", "_ZN3c108GradMode10is_enabledEv"},
        [TMK_LIB_CPU] = {"libtorch_cpu",
                         "_ZN2at15sequence_number17get_and_incrementEv"},
        [TMK_LIB_C10_CUDA] = {"libc10_cuda", "_ZN3c104cuda12device_countEv"},
        [TMK_LIB_CUDART] = {"libcudart", "cudaGetDevice"},
        [TMK_LIB_CUDA] = {"libcuda", "cuInit"},
        [TMK_LIB_NCCL] = {"libnccl", "ncclGetVersion"},
        [TMK_LIB_LIBC] = {"libc", "_exit"},
};

/* A second HOOK_TOO of one field would be a warning here. */
static const char *const names[TMK_FIELDS][3] = {
#define HOOK(field, library, need, result, arguments, symbol)                          \
	[TMK_FIELD_##field][0] = #symbol,
#define REAL HOOK
#define HOOK_TOO(field, library, need, result, arguments, symbol)                      \
	[TMK_FIELD_##field][1] = #symbol,
#define REAL_TOO HOOK_TOO
#include "hooks.def"
#undef HOOK
#undef HOOK_TOO
#undef REAL
#undef REAL_TOO
};

static const bool interposed[TMK_FIELDS] = {
#define HOOK(field, library, need, result, arguments, symbol)                          \
	[TMK_FIELD_##field] = true,
#define REAL(field, library, need, result, arguments, symbol)
#define HOOK_TOO REAL
#define REAL_TOO REAL
#include "hooks.def"
#undef HOOK
#undef HOOK_TOO
#undef REAL
#undef REAL_TOO
};

const char *const *tmk_provider_symbols(unsigned field)
{
	return names[field];
}

/* ---- who defines what ------------------------------------------------------------------ */

struct pass {
	struct tmk_providers *p;
	uintptr_t only; /* an address in the one object to look at, 0: all */
	uint32_t hash[TMK_FIELDS][2];
	struct tmk_elf_order order;
	bool any;
};

static void *defined(const struct tmk_elf *o, const struct pass *a, unsigned field)
{
	void *found = NULL;
	for (int i = 0; i < 2 && names[field][i] && !found; i++)
		found = tmk_elf_symbol(o, names[field][i], a->hash[field][i]);
	return found;
}

static int visit(struct dl_phdr_info *info, size_t size, void *context)
{
	struct pass *a = context;
	struct tmk_elf o;
	(void)size;
	if (!tmk_elf_read(&o, info))
		return 0;
	bool front = tmk_elf_in_front(&a->order, &o);
	if ((a->only && (a->only < o.start || a->only >= o.end)) ||
	    tmk_elf_is_tidemark(&o))
		return 0;
	for (unsigned i = 0; i < TMK_FIELDS; i++) {
		struct tmk_provider *p = &a->p->of[i];
		void *found = a->only || p->wanted ? defined(&o, a, i) : NULL;
		if (!found || (front && interposed[i]))
			continue;
		a->any = p->wanted = true;
		if (!a->only && !p->count++)
			p->first = found;
	}
	return a->only != 0;
}

static bool pass(struct tmk_providers *p, uintptr_t only)
{
	struct pass a = {.p = p, .only = only};
	for (unsigned i = 0; i < TMK_FIELDS; i++)
		for (int j = 0; j < 2 && names[i][j]; j++)
			a.hash[i][j] =
			        only || p->of[i].wanted ? tmk_elf_hash(names[i][j]) : 0;
	tmk_elf_each(visit, &a);
	return a.any;
}

void tmk_providers_find(struct tmk_providers *p)
{
	pass(p, 0);
}

bool tmk_provider_is(const void *address, struct tmk_providers *p)
{
	return pass(p, (uintptr_t)address);
}

static int is_foreign(struct dl_phdr_info *info, size_t size, void *context)
{
	struct tmk_elf o;
	uintptr_t p = (uintptr_t)context;
	(void)size;
	if (!tmk_elf_read(&o, info) || p < o.start || p >= o.end)
		return 0;
	return tmk_elf_is_tidemark(&o) ? 1 : 2;
}

/* Another copy of this library may be what a look-up finds first: to call that would be to
 * come back here. */
void *tmk_provider_global(unsigned field)
{
	void *found = NULL;
	for (int i = 0; i < 2 && names[field][i] && !found; i++) {
		found = dlsym(RTLD_NEXT, names[field][i]);
		if (found && tmk_elf_each(is_foreign, found) == 1)
			found = NULL;
	}
	return found;
}

/* ---- which libraries are there --------------------------------------------------------- */

struct library_search {
	const char *stem, *mark;
	char *path;
	size_t size;
	bool by_name;
};

static int match(struct dl_phdr_info *info, size_t size, void *context)
{
	struct library_search *s = context;
	struct tmk_elf o;
	(void)size;
	if (!tmk_elf_read(&o, info) || tmk_elf_is_tidemark(&o) ||
	    (s->by_name ? !tmk_path_is_library(o.path, s->stem)
	                : !tmk_elf_symbol(&o, s->mark, tmk_elf_hash(s->mark))))
		return 0;
	snprintf(s->path, s->size, "%s", o.path);
	return 1;
}

bool tmk_library_path(enum tmk_library library, char *path, size_t size)
{
	struct library_search s = {.stem = libraries[library].stem,
	                           .mark = libraries[library].mark,
	                           .path = path,
	                           .size = size};
	if (tmk_elf_each(match, &s) == 1)
		return true;
	s.by_name = true;
	return tmk_elf_each(match, &s) == 1;
}
