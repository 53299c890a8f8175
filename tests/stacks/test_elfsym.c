/* test_elfsym.c - names of addresses against dladdr; damaged files; demangling.
 * Exit status 0 or 1. */
#include "../../tracer/names/elfsym.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition)                                                               \
	do {                                                                           \
		if (!(condition)) {                                                    \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__,             \
			        #condition);                                           \
			exit(1);                                                       \
		}                                                                      \
	} while (0)

static uint64_t state = 42;
static uint64_t rnd(uint64_t n)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (state >> 20) % n;
}

/* Given a random address inside a library, when dladdr names it, then so do we: the
 * same symbol by address (aliases differ in name), or a nearer one that .dynsym lacks.
 */
static void same_as_dladdr(struct tmk_objects *o, const char *library, int least)
{
	int named = 0, equal = 0, nearer = 0;
	for (size_t i = 0; i < tmk_objects_count(o); i++) {
		const struct tmk_object *m = tmk_objects_at(o, i), *object;
		if (!strstr(m->path, library))
			continue;
		for (int k = 0; k < 20000; k++) {
			char name[256];
			Dl_info info;
			uint64_t inside, at = m->start + rnd(m->end - m->start);
			int rc = tmk_objects_name(o, at, &object, name, sizeof(name),
			                          &inside);
			CHECK(object == m);
			if (!rc)
				named++;
			if (rc || !dladdr((void *)(uintptr_t)at, &info) ||
			    !info.dli_saddr)
				continue;
			uint64_t theirs = (uint64_t)(uintptr_t)info.dli_saddr;
			if (at - inside < theirs)
				fprintf(stderr, "%lx: %s+%lx, dladdr %s+%lx\n",
				        at - m->base, name, inside, info.dli_sname,
				        at - theirs);
			CHECK(at - inside >= theirs);
			equal += at - inside == theirs;
			nearer += at - inside > theirs;
		}
	}
	printf("%s: %d addresses named, %d as dladdr does, %d nearer\n", library, named,
	       equal, nearer);
	CHECK(equal >= least);
}

static void exact_names(struct tmk_objects *o)
{
	static const char *const names[] = {"qsort",    "printf",     "dlsym",
	                                    "mmap64",   "regcomp",    "pthread_create",
	                                    "strtoull", "getaddrinfo"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		void *p = dlsym(RTLD_DEFAULT, names[i]);
		const struct tmk_object *object;
		char name[256];
		uint64_t inside;
		CHECK(p);
		CHECK(!tmk_objects_name(o, (uint64_t)(uintptr_t)p + 1, &object, name,
		                        sizeof(name), &inside));
		CHECK(inside == 1 && dlsym(RTLD_DEFAULT, name) == p);
	}
}

/* Own static functions are in .symtab only. */
static void own_function(struct tmk_objects *o)
{
	const struct tmk_object *object;
	char name[256];
	uint64_t inside;
	CHECK(!tmk_objects_name(o, (uint64_t)(uintptr_t)own_function, &object, name,
	                        sizeof(name), &inside));
	CHECK(inside == 0 && strcmp(name, "own_function") == 0);
	CHECK(!tmk_objects_name(o, (uint64_t)(uintptr_t)own_function, &object, name, 5,
	                        &inside));
	CHECK(strcmp(name, "own_") == 0);
}

static size_t read_whole(const char *path, unsigned char *to, size_t room)
{
	FILE *f = fopen(path, "rb");
	CHECK(f);
	size_t n = fread(to, 1, room, f);
	fclose(f);
	return n;
}

static void write_whole(const char *path, const unsigned char *from, size_t n)
{
	FILE *f = fopen(path, "wb");
	CHECK(f && fwrite(from, 1, n, f) == n);
	fclose(f);
}

/* Given a file with bytes changed or its end cut off, nothing is read out of bounds
 * (address sanitizer) and every name is terminated. */
static void damaged_files(const char *model)
{
	static unsigned char good[1 << 20], bad[1 << 20];
	char path[] = "/tmp/tidemark-elfsym-XXXXXX";
	size_t n = read_whole(model, good, sizeof(good));
	int fd = mkstemp(path), opened = 0;
	CHECK(fd >= 0 && n > 1000);
	close(fd);
	uint64_t table;
	memcpy(&table, good + 40, 8); /* e_shoff */
	for (int i = 0; i < 4000; i++) {
		struct tmk_elfsym *e;
		char name[64];
		uint64_t inside;
		size_t size = i % 4 ? n : rnd(n);
		memcpy(bad, good, n);
		for (uint64_t k = 0, changes = rnd(6); k < changes; k++)
			bad[k % 2 ? rnd(64) : table + rnd(n - table)] =
			        (unsigned char)rnd(256);
		for (uint64_t k = 0, changes = rnd(200); k < changes; k++)
			bad[64 + rnd(n - 64)] ^= (unsigned char)(1 << rnd(8));
		write_whole(path, bad, size);
		if (tmk_elfsym_open(path, &e))
			continue;
		opened++;
		for (int k = 0; k < 20; k++)
			if (!tmk_elfsym_name(e, rnd(n), name, sizeof(name), &inside))
				CHECK(memchr(name, 0, sizeof(name)));
		if (i % 7 == 0) { /* replaced under our hands */
			write_whole(path, bad, size / 2);
			for (int k = 0; k < 20; k++)
				CHECK(tmk_elfsym_name(e, rnd(n), name, sizeof(name),
				                      &inside));
		}
		tmk_elfsym_close(e);
	}
	unlink(path);
	printf("damaged files: %d of 4000 still opened\n", opened);
	CHECK(opened > 100 && opened < 4000);
	struct tmk_elfsym *e;
	CHECK(tmk_elfsym_open("/dev/null", &e) == -ENOEXEC);
	CHECK(tmk_elfsym_open("/nowhere", &e) == -ENOENT);
}

int main(int argc, char **argv)
{
	char buf[128];
	const char *mangled = "_ZN3c104impl3getEv";
	CHECK(strcmp(tmk_demangle("plain", buf, sizeof(buf), 0), "plain") == 0);
	if (!dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD))
		CHECK(strcmp(tmk_demangle(mangled, buf, sizeof(buf), 0), mangled) == 0);
	if (dlopen("libstdc++.so.6", RTLD_LAZY))
		CHECK(strncmp(tmk_demangle("_ZN3c103Foo3barEi", buf, sizeof(buf), 1),
		              "c10::Foo::bar(int)", 18) == 0);
	CHECK(strcmp(tmk_demangle("_Z", buf, sizeof(buf), 1), "_Z") == 0);

	struct tmk_objects *o = tmk_objects_new();
	CHECK(tmk_objects_scan(o) > 2 && tmk_objects_scan(o) == 0);
	CHECK(!tmk_objects_find(o, 1));
	exact_names(o);
	own_function(o);
	same_as_dladdr(o, "libc.so", 1000);
	same_as_dladdr(o, "libstdc++", 0);
	if (argc > 2 && dlopen(argv[2], RTLD_LAZY | RTLD_LOCAL)) {
		CHECK(tmk_objects_scan(o) > 0);
		same_as_dladdr(o, strrchr(argv[2], '/') + 1, 100);
	}
	tmk_objects_free(o);
	if (argc > 1)
		damaged_files(argv[1]);
	puts("ok");
	return 0;
}
