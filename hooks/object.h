/* object.h - what a loaded object defines, read from its own tables in memory.
 *
 * Who defines a symbol is asked of the objects themselves and not of dlsym: that takes the
 * loader's lock, looks only where the asker may look, and replaces the text that the
 * program's own dlerror() is about to read. To be called inside dl_iterate_phdr, whose lock
 * keeps the object mapped. */
#ifndef TIDEMARK_HOOKS_OBJECT_H
#define TIDEMARK_HOOKS_OBJECT_H

#include <link.h>
#include <stdbool.h>
#include <stdint.h>

struct tmk_elf {
	const char *path; /* "" is the program */
	uintptr_t base, start, end;
	const ElfW(Dyn) * dynamic;
	const ElfW(Sym) * symbols;
	const char *strings;
	const uint16_t *versions;
	const uint32_t *gnu_hash, *hash;
	const char *soname;
};

/* dl_iterate_phdr(). No other thread is in it when one forks: glibc 2.36 leaves its lock to a
 * child as it is. */
int tmk_elf_each(int (*visit)(struct dl_phdr_info *, size_t, void *), void *context);

/* False where it has no table of symbols. */
bool tmk_elf_read(struct tmk_elf *o, const struct dl_phdr_info *info);

uint32_t tmk_elf_hash(const char *symbol);

/* The address of a function or variable that the object defines for others, NULL if it does
 * not. `hash` is tmk_elf_hash of it. */
void *tmk_elf_symbol(const struct tmk_elf *o, const char *symbol, uint32_t hash);

/* The name of the next library that the object needs, NULL after the last; *at begins as 0. */
const char *tmk_elf_needs(const struct tmk_elf *o, int *at);

/* Is this the library called `name` by one that needs it? */
bool tmk_elf_called(const struct tmk_elf *o, const char *name);

/* This library, or another copy of it. */
bool tmk_elf_is_tidemark(const struct tmk_elf *o);

/* Another tool may stand in front of this library, as it stands in front of others: what comes
 * before it among the preloaded ones calls it, and is nothing to call. Asked of each object in
 * the loader's order; all zeros at first. Where this library was loaded later than the C library
 * it stands in front of nobody. */
struct tmk_elf_order {
	int preloaded; /* -1 no, 1 yes, 0 not known yet */
	bool past;
};
bool tmk_elf_in_front(struct tmk_elf_order *order, const struct tmk_elf *o);

/* "/x/libcudart-1a2b3c4d.so.12.1" is a libcudart: a wheel's tool puts a hash there. */
bool tmk_path_is_library(const char *path, const char *stem);

#endif
