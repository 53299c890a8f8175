/* objects.c - which object a native address belongs to, and its function's name.
 *
 * Called from: the writer thread, or recovery. Owns: the list, the paths, and the
 * symbol tables opened so far.
 */
#include "elfsym.h"
#include "latch.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct item {
	struct tmk_object object;
	struct tmk_elfsym *symbols;
	int tried; /* symbols is NULL for good */
};

struct tmk_objects {
	struct item **items; /* by pointer: callers keep struct tmk_object * */
	size_t count, room;
};

struct tmk_objects *tmk_objects_new(void)
{
	return calloc(1, sizeof(struct tmk_objects));
}

int tmk_objects_add(struct tmk_objects *o, uint64_t base, uint64_t start, uint64_t end,
                    const char *path)
{
	if (o->count == o->room) {
		size_t room = o->room ? 2 * o->room : 64;
		struct item **more = realloc(o->items, room * sizeof(struct item *));
		if (!more)
			return -ENOMEM;
		o->items = more;
		o->room = room;
	}
	struct item *item = calloc(1, sizeof(*item));
	char *copy = strdup(path);
	if (!item || !copy) {
		free(item);
		free(copy);
		return -ENOMEM;
	}
	item->object = (struct tmk_object){base, start, end, copy};
	o->items[o->count++] = item;
	return 0;
}

struct scan {
	struct tmk_objects *o;
	int added;
};

static int known(const struct tmk_objects *o, uint64_t start, uint64_t end,
                 const char *path)
{
	const struct tmk_object *object = tmk_objects_find(o, start);
	return object && object->start == start && object->end == end &&
	       strcmp(object->path, path) == 0;
}

/* Under the loader's lock: adds to the list and does nothing else. */
static int scan_one(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct scan *scan = arg;
	uint64_t start = UINT64_MAX, end = 0;
	char self[PATH_MAX];
	const char *path = info->dlpi_name;
	(void)size;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		if (p->p_type != PT_LOAD)
			continue;
		uint64_t at = info->dlpi_addr + p->p_vaddr;
		start = at < start ? at : start;
		end = at + p->p_memsz > end ? at + p->p_memsz : end;
	}
	if (start >= end)
		return 0;
	if (!path || !path[0]) { /* the program itself */
		ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
		self[n < 0 ? 0 : n] = 0;
		path = self;
	}
	if (known(scan->o, start, end, path))
		return 0;
	int rc = tmk_objects_add(scan->o, info->dlpi_addr, start, end, path);
	if (rc) {
		scan->added = rc;
		return 1;
	}
	scan->added++;
	return 0;
}

int tmk_objects_scan(struct tmk_objects *o)
{
	struct scan scan = {o, 0};
	const bool in = tmk_loader_enter();
	dl_iterate_phdr(scan_one, &scan);
	if (in)
		tmk_loader_leave();
	return scan.added;
}

size_t tmk_objects_count(const struct tmk_objects *o)
{
	return o->count;
}

const struct tmk_object *tmk_objects_at(const struct tmk_objects *o, size_t i)
{
	return i < o->count ? &o->items[i]->object : NULL;
}

/* A few hundred objects, asked once per new address: a plain scan, newest first. */
static struct item *find(const struct tmk_objects *o, uint64_t address)
{
	for (size_t i = o->count; i-- > 0;)
		if (address >= o->items[i]->object.start &&
		    address < o->items[i]->object.end)
			return o->items[i];
	return NULL;
}

const struct tmk_object *tmk_objects_find(const struct tmk_objects *o, uint64_t address)
{
	struct item *item = find(o, address);
	return item ? &item->object : NULL;
}

int tmk_objects_name(struct tmk_objects *o, uint64_t address,
                     const struct tmk_object **object, char *name, size_t n,
                     uint64_t *inside)
{
	struct item *item = find(o, address);
	*object = item ? &item->object : NULL;
	if (!item)
		return -ENOENT;
	if (!item->tried) {
		int rc = tmk_elfsym_open(item->object.path, &item->symbols);
		if (rc)
			item->symbols = NULL;
		if (rc == -ENOMEM)
			return rc;
		item->tried = 1;
	}
	if (!item->symbols)
		return -ENOENT;
	return tmk_elfsym_name(item->symbols, address - item->object.base, name, n,
	                       inside);
}

void tmk_objects_free(struct tmk_objects *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->count; i++) {
		tmk_elfsym_close(o->items[i]->symbols);
		free((char *)(uintptr_t)o->items[i]->object.path);
		free(o->items[i]);
	}
	free(o->items);
	free(o);
}

typedef char *demangler(const char *, char *, size_t *, int *);

const char *tmk_demangle(const char *mangled, char *buf, size_t n, int load)
{
	static demangler *demangle; /* one thread: see elfsym.h */
	if (!demangle) {
		union {
			void *object;
			demangler *call;
		} found = {NULL};
		void *lib = dlopen("libstdc++.so.6", RTLD_NOLOAD | RTLD_LAZY);
		if (!lib && load)
			lib = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_LOCAL);
		if (lib)
			found.object = dlsym(lib, "__cxa_demangle");
		demangle = found.call;
	}
	char *plain = NULL;
	if (demangle && mangled[0] == '_' && mangled[1] == 'Z')
		plain = demangle(mangled, NULL, NULL, NULL);
	snprintf(buf, n, "%s", plain ? plain : mangled);
	free(plain);
	return buf;
}
