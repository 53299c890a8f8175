/* unwind.c - what -fexceptions asks of an unwinder, without needing one. A library that is
 * preloaded may need nothing that can be missing, and libgcc_s is not on every machine; but who
 * throws has an unwinder in the process. __gcc_personality_v0 is called by that unwinder for a
 * frame of ours that has something to put back, and asks it back; no other unwinder's functions
 * would understand its context. libgcc_s's and LLVM's export them all.
 * Called from: the unwinder that is at work, any thread. Takes no lock but that of
 * dl_iterate_phdr. Owns nothing. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "object.h"

/* Of the platform's C++ ABI, level 1: "Exception Handling". */
enum { INSTALL_CONTEXT = 7, CONTINUE_UNWIND = 8 };
enum { CLEANUP_PHASE = 2 };
enum { ULEB128 = 0x01, UDATA4 = 0x03, OMITTED = 0xff };

int __gcc_personality_v0(int version, int actions, uint64_t class, void *exception,
                         void *context);
void _Unwind_Resume(void *exception) __attribute__((noreturn));

struct unwinder {
	uintptr_t caller; /* an address in it */
	uintptr_t (*ip)(void *context);
	uintptr_t (*region)(void *context); /* where the function begins */
	const uint8_t *(*table)(void *context);
	void (*set_register)(void *context, int number, uintptr_t value);
	void (*set_ip)(void *context, uintptr_t value);
	void (*resume)(void *exception);
};

/* Of the unwinder that is at work on this thread. */
static __thread void (*resume)(void *exception)
        __attribute__((tls_model("initial-exec")));

static bool take(const struct tmk_elf *o, const char *symbol, void *slot)
{
	void *found = tmk_elf_symbol(o, symbol, tmk_elf_hash(symbol));
	*(void **)slot = found;
	return found;
}

static int visit(struct dl_phdr_info *info, size_t size, void *context)
{
	struct unwinder *u = context;
	struct tmk_elf o;
	(void)size;
	return tmk_elf_read(&o, info) && u->caller >= o.start && u->caller < o.end &&
	       take(&o, "_Unwind_GetIP", &u->ip) &&
	       take(&o, "_Unwind_GetRegionStart", &u->region) &&
	       take(&o, "_Unwind_GetLanguageSpecificData", &u->table) &&
	       take(&o, "_Unwind_SetGR", &u->set_register) &&
	       take(&o, "_Unwind_SetIP", &u->set_ip) &&
	       take(&o, "_Unwind_Resume", &u->resume);
}

static uintptr_t uleb128(const uint8_t **at)
{
	uintptr_t value = 0;
	unsigned shift = 0;
	uint8_t byte;
	do {
		byte = *(*at)++;
		value |= (uintptr_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	return value;
}

static uintptr_t number(const uint8_t **at, uint8_t encoding)
{
	uint32_t value;
	if (encoding == ULEB128)
		return uleb128(at);
	__builtin_memcpy(&value, *at, sizeof(value));
	*at += sizeof(value);
	return value;
}

/* Where a frame goes on that is left at `at` bytes from its function's beginning; 0: it has
 * nothing to put back there. C has no handlers, so an entry's last number says nothing. */
static uintptr_t landing_pad(const uint8_t *table, uintptr_t at)
{
	if (!table || *table++ != OMITTED) /* pads counted from elsewhere: not in C */
		return 0;
	if (*table++ != OMITTED)
		uleb128(&table); /* how far the table of types is */
	uint8_t encoding = *table++;
	if (encoding != ULEB128 && encoding != UDATA4)
		return 0;
	uintptr_t length = uleb128(&table);
	for (const uint8_t *end = table + length; table < end;) {
		uintptr_t start = number(&table, encoding);
		uintptr_t bytes = number(&table, encoding);
		uintptr_t pad = number(&table, encoding);
		uleb128(&table);
		if (at < start)
			return 0; /* they are in order */
		if (at - start < bytes)
			return pad;
	}
	return 0;
}

int __gcc_personality_v0(int version, int actions, uint64_t class, void *exception,
                         void *context)
{
	struct unwinder u = {.caller = (uintptr_t)__builtin_return_address(0)};
	(void)version, (void)class;
	if (!(actions & CLEANUP_PHASE)) /* it looks for a handler */
		return CONTINUE_UNWIND;
	/* An unwinder that is linked into a program shows nothing. libgcc_s's functions would not
	 * do: they end the program. */
	if (!tmk_elf_each(visit, &u))
		return CONTINUE_UNWIND;
	resume = u.resume;
	/* The address that a call returns to is one behind the call. */
	uintptr_t start = u.region(context);
	uintptr_t pad = landing_pad(u.table(context), u.ip(context) - 1 - start);
	if (!pad)
		return CONTINUE_UNWIND;
	u.set_register(context, __builtin_eh_return_data_regno(0),
	               (uintptr_t)exception);
	u.set_register(context, __builtin_eh_return_data_regno(1), 0);
	u.set_ip(context, start + pad);
	return INSTALL_CONTEXT;
}

/* After a frame has put back what it had changed, and from nowhere else. */
void _Unwind_Resume(void *exception)
{
	resume(exception);
	__builtin_trap();
}
