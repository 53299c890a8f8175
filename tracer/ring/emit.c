/* emit.c - reserving, stamping and committing records.
 * Called from: hooks/ (any thread, under the guard). Owns: the thread's ring. */
#include "emit.h"

#include <cpuid.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "hot.h"
#include "patience.h"
#include "settings.h"

__thread struct tmk_self tmk_self __attribute__((tls_model("initial-exec")));
TMK_HOT_DATA _Atomic int tmk_state;
struct tmk_rings tmk_rings;
_Atomic bool tmk_unnamed_grew;
TMK_HOT_DATA _Atomic uint32_t tmk_generation = 1;
TMK_HOT_DATA bool tmk_clock_invariant;

void (*tmk_on_thread_exit)(void);

static pthread_key_t exit_key;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;

void tmk_clock_init(void)
{
	unsigned a = 0, b, c, d = 0;
	/* CPUID 0x80000007, EDX bit 8: constant rate, does not stop in deep sleep */
	tmk_clock_invariant = __get_cpuid(0x80000007, &a, &b, &c, &d) && (d >> 8 & 1);
}

static void thread_ends(void *ring)
{
	if (tmk_self.generation == atomic_load(&tmk_generation))
		tmk_ring_release(ring);
	tmk_self.ring = NULL;
	if (tmk_on_thread_exit)
		tmk_on_thread_exit();
}

static void make_key(void)
{
	pthread_key_create(&exit_key, thread_ends);
}

static TMK_COLD bool first_event(void)
{
	uint32_t tid = syscall(SYS_gettid);
	tmk_self.ring = tmk_rings_acquire(&tmk_rings, tid);
	if (!tmk_self.ring)
		return false;
	tmk_self.generation = atomic_load(&tmk_generation);
	tmk_self.thread = 1 + atomic_fetch_add(&tmk_rings.header->threads, 1);
	pthread_once(&exit_once, make_key);
	pthread_setspecific(exit_key, tmk_self.ring);
	struct tmk_rec_thread *r = tmk_begin(TMK_REC_THREAD, 0, sizeof(*r));
	if (r) {
		r->tid = tid;
		prctl(PR_GET_NAME, r->name);
		tmk_end(r);
	}
	return true;
}

/* The ring is full: the writer is behind. A short sleep is cheaper than a lost event, as long as
 * patience lasts. After that an event that finds no room is dropped at once. */
static TMK_COLD char *wait_for_room(struct tmk_ring *ring, uint32_t size)
{
	enum { NAP = 100000 }; /* ns */
	char *p = NULL;
	while (!p && size <= ring->size && atomic_load(&tmk_state) == TMK_ACTIVE &&
	       tmk_patience_nap(NAP))
		p = tmk_ring_reserve(ring, size);
	return p;
}

static TMK_COLD void *drop(enum tmk_kind kind)
{
	bool event = kind == TMK_REC_ALLOC || kind == TMK_REC_FREE;
	struct tmk_ring_header *h = tmk_rings.header;
	atomic_fetch_add(event ? &h->ring_full : &h->ring_full_other, 1);
	return NULL;
}

TMK_HOT void *tmk_begin(enum tmk_kind kind, uint8_t code, uint32_t size)
{
	size = TMK_ALIGN8(size);
	if (__builtin_expect(!tmk_self.ring ||
	                             tmk_self.generation !=
	                                     atomic_load_explicit(&tmk_generation,
	                                                          memory_order_relaxed),
	                     0) &&
	    !first_event())
		return drop(kind);
	struct tmk_ring *ring = tmk_self.ring;
	char *p = tmk_ring_reserve(ring, size);
	if (__builtin_expect(!p, 0) && !(p = wait_for_room(ring, size)))
		return drop(kind);
	return tmk_stamp(p, kind, code, size);
}

static _Atomic uint64_t too_long;

void tmk_emit_forked(void)
{
	memset(&tmk_self, 0, sizeof(tmk_self));
	tmk_patience_forked();
	atomic_store(&too_long, 0);
	atomic_store(&tmk_unnamed_grew, false);
}

/* A model's config may be large; a ring is not. What takes more than a quarter of it is not
 * cut, which would make it something else, but left out and counted. */
bool tmk_fits_ring(size_t bytes)
{
	if (bytes <= tmk_rings.header->data_size / 4)
		return true;
	tmk_emit_lost("long_texts", atomic_fetch_add(&too_long, 1) + 1,
	              "texts that are longer than a quarter of a ring");
	return false;
}

/* checked: one too long is counted, which is a text itself and takes this way unchecked: where
 * somebody has emptied the file, a ring's size is 0 and nothing would fit. */
static void emit_text(enum tmk_kind kind, uint32_t id, uint32_t extra, uint64_t address,
                      int n, const char *const *text, bool checked)
{
	size_t length[8], total = 0;
	for (int i = 0; i < n; i++) {
		length[i] = text[i] ? strlen(text[i]) + 1 : 1;
		total += length[i];
	}
	if (checked && !tmk_fits_ring(sizeof(struct tmk_rec_text) + total))
		return;
	struct tmk_rec_text *r =
	        tmk_begin(kind, (uint8_t)n, (uint32_t)(sizeof(*r) + total));
	if (!r)
		return;
	r->id = id;
	r->extra = extra;
	r->address = address;
	char *p = r->text;
	for (int i = 0; i < n; i++) {
		memcpy(p, text[i] ? text[i] : "", length[i] - 1);
		p += length[i];
		p[-1] = 0;
	}
	tmk_end(r);
}

void tmk_emit_text(enum tmk_kind kind, uint32_t id, uint32_t extra, uint64_t address,
                   int n, const char *const *text)
{
	emit_text(kind, id, extra, address, n, text, true);
}

void tmk_emit_run(const char *column, const char *value)
{
	if (value)
		tmk_emit_text(TMK_REC_RUN, 0, 0, 0, 2, (const char *[]){column, value});
}

void tmk_emit_run_number(const char *column, int64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "%lld", (long long)value);
	tmk_emit_text(TMK_REC_RUN, 1, 0, 0, 2, (const char *[]){column, text});
}

void tmk_emit_meta(const char *key, const char *value)
{
	tmk_emit_text(TMK_REC_META, 0, 0, 0, 2, (const char *[]){key, value});
}

void tmk_emit_capability(const char *name, const char *state, const char *why)
{
	if (tmk_settings.verbose)
		tmk_say("%s: %s%s%s", name, state, *why ? ", " : "", why);
	tmk_emit_text(TMK_REC_CAPABILITY, 0, 0, 0, 3,
	              (const char *[]){name, state, why});
}

void tmk_emit_lost(const char *name, uint64_t count, const char *what)
{
	emit_text(TMK_REC_LOST, 0, 0, count, 2, (const char *[]){name, what}, false);
}

void tmk_emit_boundary_at(struct tmk_boundary_at at)
{
	struct tmk_rec_boundary *r = tmk_begin(TMK_REC_BOUNDARY, at.code, sizeof(*r));
	if (!r)
		return;
	r->create_graph = at.create_graph;
	r->accumulate = at.accumulate;
	r->keep = at.keep;
	r->inside = at.inside;
	r->module = at.module;
	tmk_end(r);
}

void tmk_emit_boundary(enum tmk_boundary at, bool create_graph, bool accumulate)
{
	tmk_emit_boundary_at((struct tmk_boundary_at){.code = (uint8_t)at,
	                                              .create_graph = create_graph,
	                                              .accumulate = accumulate});
}
