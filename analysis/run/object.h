/* object.h - what an executable or a shared object says about itself. */
#ifndef TIDEMARK_ANALYSIS_OBJECT_H
#define TIDEMARK_ANALYSIS_OBJECT_H

#include <stdbool.h>
#include <stddef.h>

enum program_kind {
	PROGRAM_DYNAMIC,
	PROGRAM_STATIC,     /* no loader runs, so nothing can be preloaded */
	PROGRAM_PRIVILEGED, /* setuid, setgid or with file capabilities */
	PROGRAM_FOREIGN,    /* for another machine or word size */
	PROGRAM_UNKNOWN,    /* unreadable, or no ELF file and no script */
};

/* Looks at a program; of a script, at its interpreter. */
enum program_kind program_kind(const char *path);

/* The dynamic symbols that a shared object defines. */
struct symbols;
struct symbols *
symbols_open(const char *path); /* NULL where it is no x86-64 ELF file */
bool symbols_define(const struct symbols *symbols, const char *name);
void symbols_close(struct symbols *symbols);

/* What a shared object wants of others. The texts live as long as the symbols. */
struct want {
	const char *name;
	const char *library, *version; /* NULL where the symbol names none */
};
size_t symbols_wants(const struct symbols *symbols, const struct want **wants);

/* The name under which others ask for it, or NULL. */
const char *symbols_soname(const struct symbols *symbols);

/* The libraries that it asks for, and whether it defines a version node. */
size_t symbols_libraries(const struct symbols *symbols, const char *const **libraries);
bool symbols_have_version(const struct symbols *symbols, const char *version);

#endif
