/* elfsym.h - names of native addresses, in this process or from a saved list of
 * objects.
 *
 * For one thread at a time (the writer; recovery after the process is gone): it
 * allocates and reads files. Nothing here belongs on a hooked thread.
 */
#ifndef TIDEMARK_TRACER_ELFSYM_H
#define TIDEMARK_TRACER_ELFSYM_H

#include <stddef.h>
#include <stdint.h>

/* One ELF file's functions. */
struct tmk_elfsym;

/* Reads the functions of an x86-64 ELF file: .symtab, or .dynsym where it was stripped.
 * 0 and a table to be closed by the caller, or -errno: -ENOEXEC for what is no such
 * file or is damaged, -ENODATA for one without symbols. */
int tmk_elfsym_open(const char *path, struct tmk_elfsym **out);
void tmk_elfsym_close(struct tmk_elfsym *e);

/* The function at `address`, an address as the file has it (runtime address - base).
 * Writes its mangled name, cut to fit, and *inside, the distance from its start. 0, or
 * -ENOENT: no function there, or the file has been replaced since. */
int tmk_elfsym_name(const struct tmk_elfsym *e, uint64_t address, char *name, size_t n,
                    uint64_t *inside);

/* The objects mapped into a process. */
struct tmk_objects;
struct tmk_object {
	uint64_t base;       /* load bias: runtime address - address in the file */
	uint64_t start, end; /* runtime addresses; end is exclusive */
	const char *path;    /* owned by the list */
};

/* An empty list, or NULL for want of memory. */
struct tmk_objects *tmk_objects_new(void);
/* Adds what this process has loaded and the list lacks; from the loader's list. Objects
 * unloaded since stay: old stacks may point into them. Returns how many, or -errno. */
int tmk_objects_scan(struct tmk_objects *o);
/* Adds one from a saved list. A later one wins where they overlap. 0 or -ENOMEM. */
int tmk_objects_add(struct tmk_objects *o, uint64_t base, uint64_t start, uint64_t end,
                    const char *path);
size_t tmk_objects_count(const struct tmk_objects *o);
const struct tmk_object *tmk_objects_at(const struct tmk_objects *o, size_t i);
/* The object that holds the address, or NULL. */
const struct tmk_object *tmk_objects_find(const struct tmk_objects *o,
                                          uint64_t address);
/* The function at a runtime address (for a return address: pc - 1); opens its object's
 * symbols once. *object is set as soon as that is known. 0, -ENOENT, or
 * -ENOMEM: not for want of a name, and the next call may find it. */
int tmk_objects_name(struct tmk_objects *o, uint64_t address,
                     const struct tmk_object **object, char *name, size_t n,
                     uint64_t *inside);
void tmk_objects_free(struct tmk_objects *o);

/* A C++ name for people. Copies the name as it is where it is not mangled or there is
 * no libstdc++; `load` says whether one may be loaded that the process has not
 * (recovery), or only the process' own used. Returns buf. */
const char *tmk_demangle(const char *mangled, char *buf, size_t n, int load);

#endif
