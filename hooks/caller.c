/* caller.c - two copies of a library in one process: each caller gets to its own.
 * Called from: real.c, on whatever thread calls a function that is defined more than once.
 * Takes no lock but that of dl_iterate_phdr. Owns: the memory of earlier answers. */
#include "caller.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "object.h"
#include "fields.h"

/* The linker's names for the two ends of this library. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

bool tmk_is_ours(const void *address)
{
	return (const char *)address >= __ehdr_start && (const char *)address < _end;
}

/* The wrappers are compiled with frame pointers. One that calls on as its last act has left
 * its frame already: then the stub's own return address is the caller's. */
const char *tmk_caller(const struct tmk_frame *frame)
{
	enum { DEEPEST = 8, FARTHEST = 1 << 16 };
	for (int i = 0; i < DEEPEST; i++) {
		if (!tmk_is_ours(frame->back))
			return frame->back;
		const struct tmk_frame *up = frame->up;
		if (up <= frame || (const char *)up - (const char *)frame > FARTHEST ||
		    (uintptr_t)up % sizeof(void *))
			break;
		frame = up;
	}
	return NULL;
}

/* ---- among the caller's dependencies --------------------------------------------------- */

enum { OBJECTS = 256 }; /* libraries that are looked at on the way from a caller */

struct search {
	const char *const *symbols;
	const char *caller;
	void *first;          /* ... definition that was loaded */
	uintptr_t start, end; /* of the caller's object */
	/* what comes next: breadth first, as the loader searches */
	const char *wanted[OBJECTS];
	int count;
	const char *looking_for;
	struct tmk_elf_order order;
	void *found;
};

static void *defined(const struct tmk_elf *o, const char *const *symbols)
{
	void *p = NULL;
	for (; !p && *symbols; symbols++)
		p = tmk_elf_symbol(o, *symbols, tmk_elf_hash(*symbols));
	return p;
}

static void add_needed(struct search *s, const struct tmk_elf *o)
{
	int at = 0;
	for (const char *name; (name = tmk_elf_needs(o, &at));) {
		int i = 0;
		while (i < s->count && strcmp(s->wanted[i], name) != 0)
			i++;
		if (i == s->count && s->count < OBJECTS)
			s->wanted[s->count++] = name;
	}
}

static int visit_caller(struct dl_phdr_info *info, size_t size, void *context)
{
	struct search *s = context;
	struct tmk_elf o;
	(void)size;
	if (!tmk_elf_read(&o, info))
		return 0;
	bool front = tmk_elf_in_front(&s->order, &o);
	if (tmk_elf_is_tidemark(&o))
		return 0;
	void *p = front ? NULL : defined(&o, s->symbols);
	if (!s->first)
		s->first = p;
	if ((uintptr_t)s->caller < o.start || (uintptr_t)s->caller >= o.end)
		return 0;
	s->start = o.start;
	s->end = o.end;
	s->found = p;
	add_needed(s, &o);
	return 0;
}

static int visit_needed(struct dl_phdr_info *info, size_t size, void *context)
{
	struct search *s = context;
	struct tmk_elf o;
	(void)size;
	if (!tmk_elf_read(&o, info) || !tmk_elf_called(&o, s->looking_for) ||
	    tmk_elf_is_tidemark(&o))
		return 0;
	s->found = defined(&o, s->symbols);
	add_needed(s, &o);
	return 1;
}

/* ---- earlier answers -------------------------------------------------------------------- */

/* By the place of the call. The two words of an entry are written one after the other by any
 * thread: the first holds both, and an entry that is half of one and half of another fits
 * nobody. */
enum { PLACES = 1 << 12 };
static struct {
	_Atomic uintptr_t mixed;
	_Atomic uintptr_t target;
} places[PLACES];

/* By the calling object and the function, for a place that calls for the first time. */
enum { KNOWN = 1 << 12 };
static struct {
	uintptr_t start, end;
	void *target;
	unsigned field;
	_Atomic unsigned good; /* the generation it belongs to */
} known[KNOWN];
static atomic_uint known_count, generation = 1;

static uintptr_t place_key(unsigned field, const char *caller)
{
	unsigned g = atomic_load_explicit(&generation, memory_order_acquire);
	return ((uintptr_t)caller ^ (uintptr_t)field << 56) + g * 0x9e3779b97f4a7c15u;
}

static void *remembered(unsigned field, const char *caller)
{
	unsigned n = atomic_load(&known_count);
	for (unsigned i = 0; i < n && i < KNOWN; i++)
		if (atomic_load_explicit(&known[i].good, memory_order_acquire) ==
		            atomic_load(&generation) &&
		    known[i].field == field && (uintptr_t)caller >= known[i].start &&
		    (uintptr_t)caller < known[i].end)
			return known[i].target;
	return NULL;
}

static void *look(unsigned field, const char *const *symbols, const char *caller)
{
	struct search s = {.symbols = symbols, .caller = caller};
	unsigned g = atomic_load(&generation);
	tmk_elf_each(visit_caller, &s);
	for (int i = 0; !s.found && i < s.count; i++) {
		s.looking_for = s.wanted[i];
		tmk_elf_each(visit_needed, &s);
	}
	void *target = s.found ? s.found : s.first;
	unsigned i = s.end ? atomic_fetch_add(&known_count, 1) : KNOWN;
	if (i < KNOWN) {
		known[i].start = s.start;
		known[i].end = s.end;
		known[i].target = target;
		known[i].field = field;
		atomic_store_explicit(&known[i].good, g, memory_order_release);
	}
	return target;
}

void *tmk_caller_function(unsigned field, const char *const *symbols,
                          const char *caller)
{
	uintptr_t key = place_key(field, caller);
	uintptr_t at = (key ^ key >> 12 ^ key >> 40) % PLACES;
	uintptr_t target =
	        atomic_load_explicit(&places[at].target, memory_order_relaxed);
	if (target && (atomic_load_explicit(&places[at].mixed, memory_order_relaxed) ^
	               target) == key)
		return (void *)target;
	void *p = remembered(field, caller);
	if (!p)
		p = look(field, symbols, caller);
	atomic_store_explicit(&places[at].mixed, key ^ (uintptr_t)p,
	                      memory_order_relaxed);
	atomic_store_explicit(&places[at].target, (uintptr_t)p, memory_order_relaxed);
	return p;
}

void tmk_caller_forget(void)
{
	atomic_fetch_add(&generation, 1);
}
