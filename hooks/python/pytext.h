/* pytext.h - what Python's strings and code objects say, without the GIL. For pystack.c. */
#ifndef TIDEMARK_HOOKS_PYTEXT_H
#define TIDEMARK_HOOKS_PYTEXT_H

#include <stddef.h>
#include <stdint.h>

struct tmk_py_frame {
	const char *code; /* the code object; borrowed, valid until the hook returns */
	uint64_t key;     /* what the code says it is: survives reuse of its address */
	int32_t where; /* byte offset of the instruction; negative before the first */
};

/* Writes a str as UTF-8; keep_end cuts at the front instead of at the back. */
void tmk_py_utf8(const char *str, char *out, size_t n, int keep_end);

/* Names of a frame that this thread has just walked, before it returns to Python:
 * qualified name (3.11+; the plain name before), file, line. UTF-8, always terminated;
 * too long a name loses its end, too long a file its beginning, with "…" instead. */
void tmk_pystack_text(const struct tmk_py_frame *f, char *function, size_t nf,
                      char *file, size_t nfile, int *line);

#endif
