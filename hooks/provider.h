/* provider.h - the objects that define the functions of hooks.def. */
#ifndef TIDEMARK_HOOKS_PROVIDER_H
#define TIDEMARK_HOOKS_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>

#include "fields.h"

struct tmk_providers {
	struct tmk_provider {
		bool wanted;
		int count; /* objects that define it, copies of this library aside */
		void *first;
	} of[TMK_FIELDS];
};

/* Counts the definitions of what is wanted. No lock but that of dl_iterate_phdr. */
void tmk_providers_find(struct tmk_providers *p);

/* What the object with this address defines becomes wanted. True: something. */
bool tmk_provider_is(const void *address, struct tmk_providers *p);

/* The first definition in the global scope behind this library; the loader's lock. */
void *tmk_provider_global(unsigned field);

/* A field's symbols, in the order of hooks.def; the last is NULL. */
const char *const *tmk_provider_symbols(unsigned field);

/* The path of a loaded library, "" of one that is in the program itself; false if it is not
 * there. */
bool tmk_library_path(enum tmk_library library, char *path, size_t size);

#endif
