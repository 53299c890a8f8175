/* pycode.h - what a code object is, by what it says. For pystack.c.
 *
 * The address of a code object is reused after it dies (exec, torch.compile): a code is
 * known by a key made of its contents. Reading them is most of a walk, so stacks are
 * remembered by address, from when on the death of a code object is noticed. */
#ifndef TIDEMARK_HOOKS_PYCODE_H
#define TIDEMARK_HOOKS_PYCODE_H

#include <stdatomic.h>
#include <stdint.h>

#include "pylayout.h"

/* The method in which a module is called, local 0 being the module: _wrapped_call_impl
 * from torch 2.1, _call_impl before (and inside the former afterwards, where self may
 * be a cell). */
enum tmk_py_impl { TMK_PY_WRAPPED, TMK_PY_PLAIN, TMK_PY_NO_IMPL, TMK_PY_NO_CODE };

struct tmk_py_code {
	uint64_t key; /* same contents, same key */
	enum tmk_py_impl impl;
};

/* Reads the contents of an object, which may be no code. Of an object that the thread's
 * own frames keep alive. */
struct tmk_py_code tmk_pycode_read(const struct tmk_py_layout *py, const char *code);

/* Begins to notice deaths: puts a function of ours in front of the one that Python frees
 * code objects with, which counts and goes on to it. Holding the GIL, once the layout is
 * known; any number of times. */
void tmk_pycode_watch(void);

/* One more than the code objects that have died since then; 0 while nobody counts. */
extern _Atomic uint64_t tmk_pycode_deaths;

#endif
