/* object.c - looking a symbol up in one object. Called from: real.c, inside
 * dl_iterate_phdr. Owns nothing, allocates nothing. */
#include "object.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#include "latch.h"

/* glibc writes addresses into the dynamic section; other loaders, and it in an object whose
 * section cannot be written, leave offsets. */
static const void *pointer(const struct tmk_elf *o, ElfW(Addr) value)
{
	return (const void *)(value < o->base ? o->base + value : value);
}

static void read_dynamic(struct tmk_elf *o)
{
	ElfW(Addr) soname = 0;
	for (const ElfW(Dyn) *d = o->dynamic; d->d_tag != DT_NULL; d++)
		if (d->d_tag == DT_SYMTAB)
			o->symbols = pointer(o, d->d_un.d_ptr);
		else if (d->d_tag == DT_STRTAB)
			o->strings = pointer(o, d->d_un.d_ptr);
		else if (d->d_tag == DT_GNU_HASH)
			o->gnu_hash = pointer(o, d->d_un.d_ptr);
		else if (d->d_tag == DT_HASH)
			o->hash = pointer(o, d->d_un.d_ptr);
		else if (d->d_tag == DT_VERSYM)
			o->versions = pointer(o, d->d_un.d_ptr);
		else if (d->d_tag == DT_SONAME)
			soname = d->d_un.d_val;
	o->soname = soname && o->strings ? o->strings + soname : NULL;
}

bool tmk_elf_read(struct tmk_elf *o, const struct dl_phdr_info *info)
{
	*o = (struct tmk_elf){.path = info->dlpi_name ? info->dlpi_name : "",
	                      .base = info->dlpi_addr,
	                      .start = UINTPTR_MAX};
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t at = o->base + p->p_vaddr;
		if (p->p_type == PT_DYNAMIC)
			o->dynamic = (const ElfW(Dyn) *)at;
		if (p->p_type != PT_LOAD)
			continue;
		o->start = at < o->start ? at : o->start;
		o->end = at + p->p_memsz > o->end ? at + p->p_memsz : o->end;
	}
	if (o->dynamic)
		read_dynamic(o);
	return o->symbols && o->strings && (o->gnu_hash || o->hash);
}

uint32_t tmk_elf_hash(const char *symbol)
{
	uint32_t h = 5381;
	for (const unsigned char *p = (const unsigned char *)symbol; *p; p++)
		h = h * 33 + *p;
	return h;
}

static uint32_t old_hash(const char *symbol)
{
	uint32_t h = 0;
	for (const unsigned char *p = (const unsigned char *)symbol; *p; p++) {
		h = (h << 4) + *p;
		h = (h ^ (h >> 24 & 0xf0)) & 0x0fffffff;
	}
	return h;
}

enum { HIDDEN_VERSION = 0x8000 };

/* An older version of a symbol is for those that were linked with it: taken only where
 * there is no other. */
static bool fits(const struct tmk_elf *o, uint32_t i, const char *symbol,
                 uint32_t *older)
{
	const ElfW(Sym) *s = &o->symbols[i];
	unsigned type = ELF64_ST_TYPE(s->st_info);
	if (s->st_shndx == SHN_UNDEF || ELF64_ST_BIND(s->st_info) == STB_LOCAL ||
	    (type != STT_FUNC && type != STT_OBJECT && type != STT_NOTYPE) ||
	    strcmp(o->strings + s->st_name, symbol) != 0)
		return false;
	if (!o->versions || !(o->versions[i] & HIDDEN_VERSION))
		return true;
	*older = *older ? *older : i;
	return false;
}

static uint32_t find_gnu(const struct tmk_elf *o, const char *symbol, uint32_t hash)
{
	const uint32_t buckets = o->gnu_hash[0], first = o->gnu_hash[1],
	               words = o->gnu_hash[2], shift = o->gnu_hash[3];
	const ElfW(Addr) *bloom = (const ElfW(Addr) *)(o->gnu_hash + 4);
	const uint32_t *bucket = (const uint32_t *)(bloom + words);
	const uint32_t *chain = bucket + buckets;
	const unsigned bits = 8 * sizeof(*bloom);
	if (!buckets || !words)
		return 0;
	ElfW(Addr) word = bloom[hash / bits & (words - 1)];
	if (!(word >> hash % bits & word >> (hash >> shift) % bits & 1))
		return 0;
	uint32_t i = bucket[hash % buckets], older = 0;
	if (i < first)
		return 0;
	for (;; i++) {
		uint32_t h = chain[i - first];
		if ((h | 1) == (hash | 1) && fits(o, i, symbol, &older))
			return i;
		if (h & 1)
			return older;
	}
}

static uint32_t find_old(const struct tmk_elf *o, const char *symbol)
{
	const uint32_t buckets = o->hash[0], *bucket = o->hash + 2,
	               *chain = bucket + buckets;
	uint32_t older = 0;
	for (uint32_t i = buckets ? bucket[old_hash(symbol) % buckets] : 0; i;
	     i = chain[i])
		if (fits(o, i, symbol, &older))
			return i;
	return older;
}

void *tmk_elf_symbol(const struct tmk_elf *o, const char *symbol, uint32_t hash)
{
	uint32_t i = o->gnu_hash ? find_gnu(o, symbol, hash) : find_old(o, symbol);
	return i ? (void *)(o->base + o->symbols[i].st_value) : NULL;
}

const char *tmk_elf_needs(const struct tmk_elf *o, int *at)
{
	while (o->dynamic[*at].d_tag != DT_NULL) {
		const ElfW(Dyn) *d = &o->dynamic[(*at)++];
		if (d->d_tag == DT_NEEDED)
			return o->strings + d->d_un.d_val;
	}
	return NULL;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

int tmk_elf_each(int (*visit)(struct dl_phdr_info *, size_t, void *), void *context)
{
	/* Where a fork takes too long this goes on: a caller without its function has less. */
	const bool in = tmk_loader_enter();
	int rc = dl_iterate_phdr(visit, context);
	if (in)
		tmk_loader_leave();
	return rc;
}

bool tmk_elf_called(const struct tmk_elf *o, const char *name)
{
	return (o->soname && !strcmp(o->soname, name)) || !strcmp(o->path, name) ||
	       !strcmp(last_part(o->path), last_part(name));
}

bool tmk_elf_is_tidemark(const struct tmk_elf *o)
{
	static const char name[] = "tidemark_recover";
	return tmk_elf_symbol(o, name, tmk_elf_hash(name)) != NULL;
}

static bool is_this(const struct tmk_elf *o)
{
	uintptr_t p = (uintptr_t)tmk_elf_in_front;
	return p >= o->start && p < o->end;
}

static int find_order(struct dl_phdr_info *info, size_t size, void *context)
{
	struct tmk_elf o;
	int *preloaded = context;
	(void)size;
	if (!tmk_elf_read(&o, info))
		return 0;
	*preloaded = is_this(&o) ? 1 : tmk_elf_called(&o, "libc.so.6") ? -1 : 0;
	return *preloaded;
}

bool tmk_elf_in_front(struct tmk_elf_order *order, const struct tmk_elf *o)
{
	if (!order->preloaded)
		/* inside of tmk_elf_each already */
		dl_iterate_phdr(find_order, &order->preloaded);
	order->past = order->past || is_this(o);
	return order->preloaded > 0 && !order->past;
}

bool tmk_path_is_library(const char *path, const char *stem)
{
	const char *p = last_part(path);
	size_t n = strlen(stem);
	if (strncmp(p, stem, n) != 0)
		return false;
	p += n;
	if (*p == '-' && isalnum((unsigned char)p[1]))
		do
			p++;
		while (isalnum((unsigned char)*p));
	return !strncmp(p, ".so", 3) && (!p[3] || p[3] == '.');
}
