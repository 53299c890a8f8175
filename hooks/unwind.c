/* unwind.c - what -fexceptions asks of an unwinder, found when an exception passes. A library
 * that is preloaded needs nothing that may be missing: libgcc_s is not on every machine, and a
 * program without it has nobody who throws.
 * Called from: the unwinder that is at work, for a frame of ours that has something to put
 * back; any thread. Takes no lock but that of dl_iterate_phdr. Owns nothing. */
#include <stddef.h>
#include <stdint.h>

#include "object.h"

enum { CONTINUE_UNWIND = 8 }; /* _URC_CONTINUE_UNWIND */

typedef int personality_function(int version, int actions, uint64_t class,
                                 void *exception, void *context);
typedef void resume_function(void *exception);

personality_function __gcc_personality_v0;
resume_function _Unwind_Resume __attribute__((noreturn));

/* The unwinder that called. Its own two functions and no other's: what an exception and a
 * context look like is between them. */
struct unwinder {
	uintptr_t caller;
	personality_function *personality;
	resume_function *resume;
};

/* Of the unwinder that is at work on this thread. */
static __thread resume_function *resume __attribute__((tls_model("initial-exec")));

static void *defined(const struct tmk_elf *o, const char *symbol)
{
	return tmk_elf_symbol(o, symbol, tmk_elf_hash(symbol));
}

static int visit(struct dl_phdr_info *info, size_t size, void *context)
{
	struct unwinder *u = context;
	struct tmk_elf o;
	(void)size;
	if (!tmk_elf_read(&o, info) || u->caller < o.start || u->caller >= o.end)
		return 0;
	*(void **)&u->personality = defined(&o, "__gcc_personality_v0");
	*(void **)&u->resume = defined(&o, "_Unwind_Resume");
	return 1;
}

/* Without the two functions (an unwinder linked into a program, or LLVM's) the frame is passed
 * by as one with nothing to do. */
int __gcc_personality_v0(int version, int actions, uint64_t class, void *exception,
                         void *context)
{
	struct unwinder u = {.caller = (uintptr_t)__builtin_return_address(0)};
	tmk_elf_each(visit, &u);
	if (!u.personality || !u.resume)
		return CONTINUE_UNWIND;
	resume = u.resume;
	return u.personality(version, actions, class, exception, context);
}

/* After a frame has put back what it had changed: reached by the personality's leave alone. */
void _Unwind_Resume(void *exception)
{
	resume(exception);
	__builtin_trap();
}
