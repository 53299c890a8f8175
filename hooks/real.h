/* real.h - the functions behind our wrappers, and how they are found.
 *
 * A library is known by what it defines, not by the name of its file: a wheel's tool puts a
 * hash into that, and a program may have libtorch in one big library of its own. Where one
 * object defines a function, it is that one. Where several do, it is what the caller would
 * have been bound to without us: the first in the global scope (dlsym(RTLD_NEXT)), else the
 * first among the caller's own dependencies; then each call asks who makes it (caller.c).
 *
 * What is interposed is never NULL: until it is found it is a stub (stub.c), which finds it
 * at the first call. What is only called is NULL where it is not there. */
#ifndef TIDEMARK_HOOKS_REAL_H
#define TIDEMARK_HOOKS_REAL_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cuda_types.h"
#include "fields.h"
#include "record.h"

typedef void (*tmk_signal_handler)(int);

struct tmk_sizes { /* c10::ArrayRef<int64_t>, passed in two registers */
	const int64_t *data;
	size_t count;
};
struct tmk_source_location { /* c10::SourceLocation, passed in memory */
	const char *function, *file;
	uint32_t line;
};
struct tmk_vector { /* std::vector<at::Tensor>, returned through memory */
	void *begin, *end, *capacity;
};
struct tmk_record_callback { /* at::RecordFunctionCallback: the same from 1.13 to 2.15 */
	void *start, *end;
	double probability;
	bool scopes[10];
	bool inputs, outputs, ids;
};
_Static_assert(sizeof(struct tmk_record_callback) == 40, "at::RecordFunctionCallback");

/* Read on any thread while another finds one: so they are atomic. */
struct tmk_real {
#define HOOK(field, library, need, result, arguments, symbol)                          \
	result(*_Atomic field) arguments;
#define REAL HOOK
#define HOOK_TOO(field, library, need, result, arguments, symbol)
#define REAL_TOO HOOK_TOO
#include "hooks.def"
#undef HOOK
#undef REAL
#undef HOOK_TOO
#undef REAL_TOO
};

extern struct tmk_real tmk_real;

/* Is there such a function in this process? Of an interposed one its pointer does not say. */
struct tmk_found {
#define HOOK(field, library, need, result, arguments, symbol) _Atomic bool field;
#define REAL                                                  HOOK
#define HOOK_TOO(field, library, need, result, arguments, symbol)
#define REAL_TOO HOOK_TOO
#include "hooks.def"
#undef HOOK
#undef REAL
#undef HOOK_TOO
#undef REAL_TOO
};

extern struct tmk_found tmk_found;
#define TMK_FOUND(field) atomic_load_explicit(&tmk_found.field, memory_order_relaxed)

extern _Atomic bool tmk_engine_found; /* both execute and evaluate */

/* Finds every real function of a library that is loaded now. Idempotent, any thread. Takes
 * the loader's lock. True: the library is loaded. */
bool tmk_resolve(enum tmk_library library);

/* The stubs: one for each function that is interposed. */
#define HOOK(field, library, need, result, arguments, symbol)                          \
	__attribute__((visibility("hidden"))) result tmk_stub_##field arguments;
#define REAL(field, library, need, result, arguments, symbol)
#define HOOK_TOO REAL
#define REAL_TOO REAL
#include "hooks.def"
#undef HOOK
#undef REAL
#undef HOOK_TOO
#undef REAL_TOO

/* Called before a function of torch's is reached through a stub, where no lock is held; may be
 * NULL. Set when the library is loaded. */
extern void (*tmk_on_torch_call)(void);

/* prepare.c has prepared what wants to be there before torch's functions are called without a
 * look: from now on their stubs give way. */
void tmk_resolved_publish(void);

/* In a forked child: what a thread of the parent was in the middle of is as if it had not begun,
 * or had ended. The second one of the table of functions that torch has from the driver. */
void tmk_real_forked(void);
void tmk_driver_forked(void);

/* What a stub goes on to; real.c. frame: of the stub. */
struct tmk_frame;
void *tmk_stub_target(unsigned field, const struct tmk_frame *frame);

/* The functions that end a process instead of returning are called by those who cannot go on:
 * where there is none behind the wrapper, what the loader does without a symbol. */
_Noreturn void tmk_ends_unresolved(const char *symbol);

/* What came of the look for a field: it is there; more than one library has it. */
bool tmk_field_found(unsigned field);
bool tmk_field_several(unsigned field);

#define TMK_EXPORT __attribute__((visibility("default")))

/* The wrappers' prototypes, so that none can differ from the list. */
#define HOOK(field, library, need, result, arguments, symbol)                          \
	TMK_EXPORT result symbol arguments;
#define HOOK_TOO HOOK
#define REAL(field, library, need, result, arguments, symbol)
#define REAL_TOO REAL
#include "hooks.def"
#undef HOOK
#undef REAL
#undef HOOK_TOO
#undef REAL_TOO

#endif
