/* coverage.c - does the simulated device have what a torch wants of NVIDIA's libraries?
 * Files are read, nothing is loaded.
 * Called from: doctor_simulate.c. */
#include "coverage.h"

#include <ctype.h>
#include <glob.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "object.h"
#include "stubs.h"

struct objects {
	struct symbols **list;
	size_t count, room;
};

static void open_all(struct objects *objects, const char *pattern)
{
	glob_t found = {0};

	glob(pattern, 0, NULL, &found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct symbols *symbols = symbols_open(found.gl_pathv[i]);
		if (!symbols)
			continue;
		objects->list = grow(objects->list, objects->count, &objects->room,
		                     sizeof(*objects->list));
		objects->list[objects->count++] = symbols;
	}
	globfree(&found);
}

static void close_all(struct objects *objects)
{
	for (size_t i = 0; i < objects->count; i++)
		symbols_close(objects->list[i]);
	free(objects->list);
}

static struct symbols *by_soname(const struct objects *objects, const char *soname)
{
	for (size_t i = 0; i < objects->count; i++) {
		const char *name = symbols_soname(objects->list[i]);
		if (name && !strcmp(name, soname))
			return objects->list[i];
	}
	return NULL;
}

static bool defined_in(const struct objects *objects, const char *name)
{
	for (size_t i = 0; i < objects->count; i++)
		if (symbols_define(objects->list[i], name))
			return true;
	return false;
}

/* By its name alone: what the version node does not say. */
static bool looks_like_nvidias(const char *name)
{
	static const char *const heads[] = {
	        "__cuda", "cuda",   "cublasLt",   "cublas",   "cudnn",
	        "cufft",  "curand", "cusparseLt", "cusparse", "cusolver",
	        "pnccl",  "nccl",   "nvrtc",      "nvtx",     "cupti",
	        "cuFile", "nvml",   "nvJitLink",  "cu"};
	for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
		size_t length = strlen(heads[i]);
		if (!strncmp(name, heads[i], length) &&
		    isupper((unsigned char)name[length]))
			return true;
	}
	return false;
}

static bool is_nvidias_library(const char *soname)
{
	static const char *const heads[] = {"libcu", "libnv", "libnccl"};
	for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++)
		if (!strncmp(soname, heads[i], strlen(heads[i])))
			return true;
	return false;
}

struct search {
	struct coverage *coverage;
	struct objects torch, stubs;
	size_t room, wanted_room;
	const char **wanted; /* point into the torch's files */
};

static void miss(struct search *search, char *what)
{
	struct coverage *coverage = search->coverage;
	coverage->missing = grow(coverage->missing, coverage->missing_count,
	                         &search->room, sizeof(*coverage->missing));
	coverage->missing[coverage->missing_count++] = what;
}

static void want_it(struct search *search, const char *name)
{
	search->wanted = grow(search->wanted, search->coverage->wanted,
	                      &search->wanted_room, sizeof(*search->wanted));
	search->wanted[search->coverage->wanted++] = name;
}

static void look_at_want(struct search *search, const struct want *want)
{
	const struct symbols *stub =
	        want->library ? by_soname(&search->stubs, want->library) : NULL;

	if (stub) {
		want_it(search, want->name);
		if (!symbols_define(stub, want->name))
			miss(search,
			     format_text("%s of %s", want->name, want->library));
		else if (!symbols_have_version(stub, want->version))
			miss(search, format_text("version '%s' of %s", want->version,
			                         want->library));
	} else if (!want->library && looks_like_nvidias(want->name) &&
	           !defined_in(&search->torch, want->name)) {
		want_it(search, want->name);
		if (!defined_in(&search->stubs, want->name))
			miss(search, copy_text(want->name));
	}
}

static void look_at(struct search *search, const struct symbols *object)
{
	const struct want *wants;
	const char *const *libraries;
	size_t count = symbols_wants(object, &wants);

	for (size_t i = 0; i < count; i++)
		look_at_want(search, &wants[i]);
	count = symbols_libraries(object, &libraries);
	for (size_t i = 0; i < count; i++)
		if (is_nvidias_library(libraries[i]) &&
		    !by_soname(&search->stubs, libraries[i]) &&
		    !by_soname(&search->torch, libraries[i]))
			miss(search, format_text("the library %s", libraries[i]));
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Several files want the same symbol. */
static void sort_out(struct search *search)
{
	struct coverage *coverage = search->coverage;
	size_t kept = 0;

	if (coverage->wanted)
		qsort(search->wanted, coverage->wanted, sizeof(char *), by_text);
	for (size_t i = 0; i < coverage->wanted; i++)
		if (!kept || strcmp(search->wanted[kept - 1], search->wanted[i]) != 0)
			search->wanted[kept++] = search->wanted[i];
	coverage->wanted = kept;
	kept = 0;
	if (!coverage->missing_count)
		return;
	qsort(coverage->missing, coverage->missing_count, sizeof(char *), by_text);
	for (size_t i = 0; i < coverage->missing_count; i++) {
		if (kept && !strcmp(coverage->missing[kept - 1], coverage->missing[i]))
			free(coverage->missing[i]);
		else
			coverage->missing[kept++] = coverage->missing[i];
	}
	coverage->missing_count = kept;
}

struct coverage coverage_of(const char *torch, const char *stubs)
{
	struct coverage coverage = {0};
	struct search search = {.coverage = &coverage};
	char *patterns[] = {format_text("%s/lib/*.so*", torch),
	                    format_text("%s/*.so", torch),
	                    format_text("%s/libtmksim_*.so", stubs)};

	open_all(&search.torch, patterns[0]);
	open_all(&search.torch, patterns[1]);
	open_all(&search.stubs, patterns[2]);
	for (size_t i = 0; i < search.torch.count; i++)
		look_at(&search, search.torch.list[i]);
	sort_out(&search);
	free(search.wanted);
	close_all(&search.torch);
	close_all(&search.stubs);
	for (int i = 0; i < 3; i++)
		free(patterns[i]);
	return coverage;
}

void coverage_free(struct coverage *coverage)
{
	stubs_list_free(coverage->missing, coverage->missing_count);
}
