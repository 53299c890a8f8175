/* scope.c - the thread's stack of named phases and buckets.
 * Called from: api.c, phase.c (record_function), wrap_nvtx.c on the program's thread, and
 * event.c under the guard, possibly under the allocator's lock: there nothing allocates. */
#include "scope.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "emit.h"
#include "hot.h"
#include "intern.h"

/* A name longer than this is cut and ends with three dots; scopes deeper than this are counted, not named. More
 * distinct ones than MOST are names with a number in them that counts up: each would make
 * its step unlike all others. */
enum { LONGEST = 64, DEEPEST = 46, MOST = 4096 };

struct entry {
	uint64_t owner;
	uint32_t id;         /* 0: none of its own and nothing around it has one */
	uint32_t generation; /* of the process the number belongs to: see fork; 0 until
				something happened inside */
	uint8_t kind, phase;
	char name[LONGEST];
};

/* Of one thread, mapped at its first push: the command opens the library by dlopen, where
 * there is no room for more than a pointer in a thread's own memory. */
struct stack {
	uint32_t depth,
	        open; /* entries; begins without their end, those too deep too */
	struct entry entry[DEEPEST];
};
_Static_assert(sizeof(struct stack) <= 4096, "a thread's scopes are one page");

static __thread struct stack *scopes __attribute__((tls_model("initial-exec")));
static pthread_key_t exit_key;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;

static TMK_HOT_DATA _Atomic uint32_t backwards, backward_scope;

/* Cut between characters: a trace is UTF-8. */
static void copy_name(char *to, const char *from)
{
	size_t n = strnlen(from, LONGEST - 1);
	const bool cut = from[n];
	if (cut)
		for (n -= 3; n && (from[n] & 0xc0) == 0x80;)
			n--;
	memcpy(to, from, n);
	strcpy(to + n, cut ? "..." : "");
}

static void unmap_stack(void *stack)
{
	scopes = NULL;
	munmap(stack, sizeof(struct stack));
}

static void make_key(void)
{
	pthread_key_create(&exit_key, unmap_stack);
}

static struct stack *map_stack(void)
{
	void *p = mmap(NULL, sizeof(struct stack), PROT_READ | PROT_WRITE,
	               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	pthread_once(&exit_once, make_key);
	pthread_setspecific(exit_key, p);
	return p;
}

static uint8_t fixed_phase(const char *name)
{
#define PHASE(id, number, text) text,
	static const char *const phases[] = {SCHEMA_PHASES(PHASE)};
#undef PHASE
	for (uint8_t i = 0; i < TMK_PHASES; i++)
		if (!strcmp(name, phases[i]))
			return i;
	return TMK_OPEN;
}

void tmk_scope_push(uint64_t owner, enum tmk_scope_kind kind, const char *name)
{
	if (!scopes && !(scopes = map_stack()))
		return;
	scopes->open++;
	if (scopes->depth == DEEPEST)
		return;
	struct entry *e = &scopes->entry[scopes->depth];
	e->owner = owner;
	e->id = e->generation = 0;
	e->kind = (uint8_t)kind;
	e->phase = scopes->depth ? e[-1].phase : TMK_OPEN;
	copy_name(e->name, name ? name : "");
	if (!*e->name)
		e->kind = TMK_SCOPE_NONE;
	if (e->kind == TMK_SCOPE_PHASE)
		e->phase = fixed_phase(e->name);
	scopes->depth++;
}

void tmk_scope_pop(uint64_t owner)
{
	uint32_t i = scopes ? scopes->depth : 0;
	while (i && scopes->entry[i - 1].owner != owner)
		i--;
	if (!scopes || (!i && scopes->open <= scopes->depth))
		return; /* opened on another thread, or before the library looked */
	if (i) {
		memmove(&scopes->entry[i - 1], &scopes->entry[i],
		        (scopes->depth - i) * sizeof(*scopes->entry));
		scopes->depth--;
	}
	if (!--scopes->open) /* whatever was too deep to keep is over, too */
		scopes->depth = 0;
}

enum tmk_scope_kind tmk_scope_parse(const char *text, const char **name)
{
	static const char phase[] = "tidemark.phase:", bucket[] = "tidemark.bucket:";
	if (!text || strncmp(text, "tidemark.", 9))
		return TMK_SCOPE_NONE;
	if (!strncmp(text, phase, sizeof(phase) - 1)) {
		*name = text + sizeof(phase) - 1;
		return TMK_SCOPE_PHASE;
	}
	if (!strncmp(text, bucket, sizeof(bucket) - 1)) {
		*name = text + sizeof(bucket) - 1;
		return TMK_SCOPE_BUCKET;
	}
	return TMK_SCOPE_NONE;
}

uint64_t tmk_scope_owner(const char *text)
{
	uint64_t h = 1469598103934665603u;
	for (const char *p = text; *p; p++)
		h = tmk_mix(h, (uint8_t)*p);
	return h | (uint64_t)1 << 63; /* no owner of scope.h, no domain's address */
}

/* ---- numbers ------------------------------------------------------------------------- */

static _Atomic uint64_t unnamed;

/* Other threads' backwards, and what was counted, are the parent's. */
void tmk_scope_forked(void)
{
	atomic_store(&backwards, 0);
	atomic_store(&backward_scope, 0);
	atomic_store(&unnamed, 0);
}

static void too_many(void)
{
	uint64_t n = atomic_fetch_add(&unnamed, 1) + 1;
	if (!(n & (n - 1))) /* the row is written anew each time */
		tmk_emit_lost("scope_names", n,
		              "scopes that were counted as the scope around them, "
		              "because there were too many names");
}

static uint32_t define(const struct entry *e, uint32_t parent)
{
	uint64_t hash =
	        tmk_mix(tmk_scope_owner(e->name), (uint64_t)parent << 8 | e->kind);
	uint64_t check = tmk_mix(hash ^ 0x2545f491, (uint64_t)parent << 8 | e->kind);
	uint32_t id = tmk_intern_find(TMK_TABLE_SCOPE, hash, check);
	if (id)
		return id;
	id = tmk_intern_new(TMK_TABLE_SCOPE);
	if (!id || id > MOST) {
		too_many();
		return parent;
	}
	tmk_emit_text(TMK_REC_SCOPE, id, parent, e->kind, 1, (const char *[]){e->name});
	tmk_intern_add(TMK_TABLE_SCOPE, hash, check, id);
	return id;
}

static TMK_COLD uint32_t number(void)
{
	uint32_t parent = 0;
	uint32_t generation =
	        atomic_load_explicit(&tmk_generation, memory_order_relaxed);
	for (uint32_t i = 0; i < scopes->depth; i++) {
		struct entry *e = &scopes->entry[i];
		if (e->generation != generation) {
			e->id = e->kind == TMK_SCOPE_NONE ? parent : define(e, parent);
			e->generation = generation;
		}
		parent = e->id;
	}
	return parent;
}

TMK_HOT uint32_t tmk_scope_now(uint8_t phase)
{
	if (__builtin_expect(!scopes || !scopes->depth, 1))
		return phase == TMK_BACKWARD || phase == TMK_RECOMPUTE
		               ? atomic_load_explicit(&backward_scope,
		                                      memory_order_relaxed)
		               : 0;
	const struct entry *top = &scopes->entry[scopes->depth - 1];
	if (top->generation ==
	    atomic_load_explicit(&tmk_generation, memory_order_relaxed))
		return top->id;
	return number();
}

TMK_HOT uint8_t tmk_scope_phase(void)
{
	return scopes && scopes->depth ? scopes->entry[scopes->depth - 1].phase
	                               : TMK_OPEN;
}

/* Where two threads run a backward at once nothing tells for which of them an engine's
 * thread works: then it has no scope. */
void tmk_scope_backward(bool begins)
{
	uint32_t scope = 0;
	if (!begins) {
		uint32_t n = atomic_load(&backwards); /* 0: begun before a fork */
		while (n && !atomic_compare_exchange_weak(&backwards, &n, n - 1))
			;
		if (n <= 1)
			atomic_store(&backward_scope, 0);
		return;
	}
	if (scopes && scopes->depth && tmk_is_active() && tmk_enter()) {
		scope = number();
		tmk_leave();
	}
	atomic_store(&backward_scope, atomic_fetch_add(&backwards, 1) ? 0 : scope);
}
