/* writer.c - the writer thread.
 *
 * The order of events is their sequence number, dense over all rings: the next record is
 * the one with the next number, wherever it stands. A ring's space is given back only
 * when what it held is committed in the trace: as rows when its step has ended, or as
 * spilled records when a ring is half full before that. So a process that dies at any
 * moment leaves everything a hook returned from in the trace and the rings together.
 *
 * Called from: session.c, recover.c. Owns: store and model. Blocks signals, never takes a
 * lock of the host's, and its own torch calls (there are none) would pass the hooks. */
#include "writer.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "emit.h"
#include "model.h"
#include "settings.h"
#include "store.h"

struct hold { /* records after a step's possible end, until it is clear (model.h) */
	char *data;
	size_t size, capacity;
	bool on;
};

struct tmk_writer {
	struct tmk_rings *rings;
	char path[2048];
	struct tmk_store *store;
	struct tmk_model *model;
	struct hold hold;
	uint64_t next_seq;      /* the next record's */
	uint64_t committed_seq; /* everything before it is in the trace */
	uint64_t waiting_since; /* for a number that does not come */
	uint64_t last_ns;       /* of the clock, when it was last compared */
	uint32_t current;       /* the ring the last record came from */
	bool due;               /* a step's rows wait for their commit */
	uint64_t last_commit_ns;
	_Atomic uint32_t stop; /* a futex */
};

/* ---- the clock ------------------------------------------------------------------- */

static void calibrate(struct tmk_writer *w)
{
	struct tmk_ring_header *h = w->rings->header;
	static uint64_t first_tick, first_ns;
	uint64_t tick = tmk_tick(), ns = tmk_clock_ns();
	if (!tmk_clock_invariant || !first_tick) {
		first_tick = first_tick ? first_tick : tick;
		first_ns = first_ns ? first_ns : ns;
		if (tmk_clock_invariant) { /* a first rate, from a pause long enough to tell */
			const struct timespec pause = {.tv_nsec = 5000000};
			nanosleep(&pause, NULL);
			tick = tmk_tick();
			ns = tmk_clock_ns();
		}
	}
	if (!tmk_clock_invariant || tick == first_tick)
		return;
	double rate = (double)(ns - first_ns) / (double)(tick - first_tick);
	atomic_store(&h->rate, (uint64_t)(rate * 4294967296.0));
	/* ns counts from the run's begin: the anchor is where it is now */
	atomic_store(&h->anchor_ns,
	             (uint64_t)((double)(tick - h->started_tick) * rate));
	atomic_store(&h->anchor_tick, tick);
}

static int64_t to_ns(const struct tmk_writer *w, uint64_t tick)
{
	struct tmk_ring_header *h = w->rings->header;
	int64_t away = (int64_t)(tick - atomic_load(&h->anchor_tick));
	return (int64_t)atomic_load(&h->anchor_ns) +
	       (int64_t)(((__int128)away * (int64_t)atomic_load(&h->rate)) >> 32);
}

/* ---- committing ------------------------------------------------------------------ */

static void give_back(struct tmk_writer *w)
{
	uint32_t n = atomic_load_explicit(&w->rings->ready, memory_order_acquire);
	for (uint32_t i = 0; i < n; i++) {
		struct tmk_ring *r = &w->rings->ring[i];
		atomic_store_explicit(&r->cursor->tail, r->safe, memory_order_release);
	}
}

static void commit_now(struct tmk_writer *w)
{
	tmk_store_commit(w->store);
	if (!tmk_store_failed(w->store))
		give_back(w);
	w->due = false;
	w->last_commit_ns = tmk_clock_ns();
}

static bool fuller_than(const struct tmk_writer *w, uint64_t part)
{
	uint32_t n = atomic_load_explicit(&w->rings->ready, memory_order_acquire);
	for (uint32_t i = 0; i < n; i++)
		if (w->rings->ring[i].read -
		            atomic_load(&w->rings->ring[i].cursor->tail) >
		    w->rings->ring[i].size / part)
			return true;
	return false;
}

/* A step has ended and its rows are written; `seq` is the first record not in them. Until
 * the transaction is closed the ring keeps what the rows say: short steps share one. */
static void commit(struct tmk_writer *w, uint64_t seq)
{
	uint32_t n = atomic_load_explicit(&w->rings->ready, memory_order_acquire);
	for (uint32_t i = 0; i < n; i++)
		w->rings->ring[i].safe = w->rings->ring[i].mark;
	if (w->model->unnamed_grew)
		atomic_store(&tmk_unnamed_grew, true);
	w->model->unnamed_grew = false;
	w->committed_seq = seq;
	tmk_model_save(w->model);
	tmk_store_run(w->store, TMK_SQL_spill_clear);
	tmk_store_run(w->store, TMK_SQL_meta_number, "recover.seq", (int64_t)seq);
	w->due = true;
	if (fuller_than(w, 4) || tmk_clock_ns() - w->last_commit_ns > 100000000)
		commit_now(w);
}

/* A ring is half full and its step goes on: its records go into the trace as they are. */
static void spill(struct tmk_writer *w)
{
	if (w->due)
		commit_now(w);
	uint32_t n = atomic_load_explicit(&w->rings->ready, memory_order_acquire);
	for (uint32_t i = 0; i < n; i++) {
		struct tmk_ring *r = &w->rings->ring[i];
		uint64_t tail = atomic_load(&r->cursor->tail);
		if (r->read > tail)
			tmk_store_run(w->store, TMK_SQL_spill,
			              (const void *)(r->data + (tail & (r->size - 1))),
			              (size_t)(r->read - tail));
	}
	tmk_store_run(w->store, TMK_SQL_meta_number, "recover.seq",
	              (int64_t)w->committed_seq);
	tmk_store_commit(w->store);
	if (tmk_store_failed(w->store))
		return;
	for (uint32_t i = 0; i < n; i++)
		w->rings->ring[i].safe = w->rings->ring[i].mark =
		        w->rings->ring[i].read;
	give_back(w);
}

static void set_marks(struct tmk_writer *w)
{
	uint32_t n = atomic_load_explicit(&w->rings->ready, memory_order_acquire);
	for (uint32_t i = 0; i < n; i++)
		w->rings->ring[i].mark = w->rings->ring[i].read;
}

/* ---- applying -------------------------------------------------------------------- */

static void apply(struct tmk_writer *w, const struct tmk_record *r)
{
	uint32_t step = w->model->step;
	tmk_model_apply(w->model, r, to_ns(w, r->tick));
	if (w->model->step != step) { /* a boundary that ends a step by itself */
		set_marks(w);
		commit(w, r->seq + 1);
	} else if (tmk_model_step_may_end(w->model, r)) {
		w->hold.on = true;
		set_marks(w);
		w->hold.size = 0;
	}
}

static void keep(struct tmk_writer *w, const struct tmk_record *r)
{
	struct hold *h = &w->hold;
	if (h->size + r->size > h->capacity) {
		size_t bigger = (h->capacity + r->size) * 2;
		char *p = realloc(h->data, bigger);
		if (!p)
			return;
		h->data = p;
		h->capacity = bigger;
	}
	memcpy(h->data + h->size, r, r->size);
	h->size += r->size;
}

static void release(struct tmk_writer *w, bool ended)
{
	struct hold h = w->hold;
	const struct tmk_record *first = (const struct tmk_record *)h.data;
	memset(&w->hold, 0, sizeof w->hold);
	if (ended) {
		tmk_model_end_step(w->model, true);
		commit(w, h.size ? first->seq : w->next_seq);
	}
	/* Nothing that was held can open a hold of its own: it is not a step's end. */
	for (size_t at = 0; at < h.size;) {
		const struct tmk_record *r = (const struct tmk_record *)(h.data + at);
		tmk_model_apply(w->model, r, to_ns(w, r->tick));
		at += r->size;
	}
	h.size = 0;
	h.on = false;
	w->hold = h;
}

static void take(struct tmk_writer *w, const struct tmk_record *r)
{
	if (w->hold.on) {
		int settled = tmk_model_settles(w->model, r);
		if (!settled && w->hold.size < 1 << 20) {
			keep(w, r);
			return;
		}
		release(w, settled >= 0);
	}
	apply(w, r);
}

/* ---- merging --------------------------------------------------------------------- */

static struct tmk_record *peek(struct tmk_ring *r)
{
	uint64_t head = atomic_load_explicit(&r->cursor->head, memory_order_acquire);
	return r->read < head
	               ? (struct tmk_record *)(r->data + (r->read & (r->size - 1)))
	               : NULL;
}

/* The record with the next number; NULL while it is not there. *behind: later ones are. */
static struct tmk_record *next(struct tmk_writer *w, struct tmk_ring **from,
                               uint64_t *behind)
{
	uint32_t n = atomic_load_explicit(&w->rings->ready, memory_order_acquire);
	*behind = UINT64_MAX;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = (w->current + i) % n;
		struct tmk_record *r = peek(&w->rings->ring[at]);
		if (!r)
			continue;
		if (r->seq == w->next_seq) {
			w->current = at;
			*from = &w->rings->ring[at];
			return r;
		}
		if (r->seq < *behind)
			*behind = r->seq;
	}
	return NULL;
}

static void make_room(struct tmk_writer *w)
{
	if (w->hold.on)
		release(w, true);
	if (w->due)
		commit_now(w);
	if (!fuller_than(w, 2))
		return;
	if (tmk_model_is_long(w->model)) {
		tmk_model_flush(w->model);
		set_marks(w);
		commit(w, w->next_seq);
		commit_now(w);
	} else {
		spill(w);
	}
}

/* Takes everything that can be taken; final: what is missing now will never come. */
static void drain(struct tmk_writer *w, bool final)
{
	struct tmk_ring *ring;
	uint64_t behind;
	for (;;) {
		struct tmk_record *r = next(w, &ring, &behind);
		if (!r && behind == UINT64_MAX) {
			w->waiting_since = 0;
			return;
		}
		if (!r) {
			/* A thread has its number and not yet its record, or died there. */
			uint64_t now = tmk_clock_ns();
			if (!w->waiting_since)
				w->waiting_since = now;
			if (!final && now - w->waiting_since < 200000000)
				return;
			w->model->lost[TMK_LOST_GAP] += behind - w->next_seq;
			w->next_seq = behind;
			continue;
		}
		w->waiting_since = 0;
		ring->read += r->size;
		w->next_seq = r->seq + 1;
		take(w, r);
		if (fuller_than(w, 2))
			make_room(w);
	}
}

/* ---- the thread ------------------------------------------------------------------ */

static bool open_model(struct tmk_writer *w, bool recovered, char *message, size_t size)
{
	w->store = tmk_store_open(w->path, message, size);
	if (!w->store)
		return false;
	w->model = tmk_model_new(w->store, recovered);
	if (!w->model) {
		snprintf(message, size, "out of memory");
		tmk_store_close(w->store);
		return false;
	}
	/* From the ring's header, so that a process killed in its first milliseconds has
	 * its row too. */
	tmk_store_run(w->store, TMK_SQL_run, w->rings->header->version,
	              (int64_t)w->rings->header->started_unix_ns);
	tmk_store_set_run(w->store, "ring", w->rings->path, false);
	return true;
}

struct tmk_writer *tmk_writer_new(struct tmk_rings *rings, const char *path)
{
	struct tmk_writer *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	w->rings = rings;
	snprintf(w->path, sizeof w->path, "%s", path);
	return w;
}

void tmk_writer_stop(struct tmk_writer *w)
{
	atomic_store(&w->stop, 1);
	syscall(SYS_futex, &w->stop, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Seldom is cheap for the program, whose caches it shares; a ring that fills is looked
 * after at once. A futex, since it waits by a clock that nobody sets. */
static void nap(struct tmk_writer *w, uint64_t records)
{
	bool busy = records * sizeof(struct tmk_rec_event) >
	            w->rings->header->data_size / 8;
	const struct timespec t = {.tv_nsec = busy ? 1000000 : 20000000};
	syscall(SYS_futex, &w->stop, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0);
}

static void populate(struct tmk_writer *w)
{
	uint32_t n = atomic_load_explicit(&w->rings->ready, memory_order_acquire);
	for (uint32_t i = 0; i < n; i++)
		tmk_ring_populate(&w->rings->ring[i]);
}

static void give_up(struct tmk_writer *w, const char *why)
{
	tmk_say("%s; no longer tracing, '%s' ends here", why, w->path);
	atomic_store(&w->rings->header->stopped, 1);
	atomic_store(&tmk_state, TMK_DISABLED);
}

static void finish(struct tmk_writer *w, const char *ended)
{
	if (w->hold.on)
		release(w, true);
	w->model->lost[TMK_LOST_RING_FULL] += atomic_load(&w->rings->header->ring_full);
	tmk_model_finish(w->model, ended);
}

void *tmk_writer_run(void *arg)
{
	struct tmk_writer *w = arg;
	char message[300];
	tmk_self.guard =
	        1; /* our own cudaX calls or allocations are not the program's */
	prctl(PR_SET_NAME, "tidemark");
	calibrate(w);
	if (!open_model(w, false, message, sizeof message)) {
		give_up(w, message);
		tmk_rings_close(w->rings, true);
		return w;
	}
	while (!atomic_load(&w->stop) && !tmk_store_failed(w->store)) {
		uint64_t before = w->next_seq;
		calibrate(w);
		populate(w);
		drain(w, false);
		if (w->due && tmk_clock_ns() - w->last_commit_ns > 100000000)
			commit_now(w);
		nap(w, w->next_seq - before);
	}
	calibrate(w);
	if (!tmk_store_failed(w->store)) {
		drain(w, true);
		finish(w, "exit");
	}
	const char *failed = tmk_store_failed(w->store);
	if (failed) /* a full disk, say: the ring stays, for when there is room */
		give_up(w, failed);
	tmk_store_close(w->store);
	atomic_store(&w->rings->header->finished, !failed);
	if (!failed)
		unlink(w->rings->path);
	return w;
}

/* ---- recovery -------------------------------------------------------------------- */

struct spilled {
	char **data;
	size_t *size, *at;
	uint32_t count, capacity;
};

static void load_spill(struct tmk_row *row, void *context)
{
	struct spilled *s = context;
	if (s->count == s->capacity) {
		s->capacity = s->capacity ? s->capacity * 2 : 64;
		s->data = realloc(s->data, s->capacity * sizeof *s->data);
		s->size = realloc(s->size, s->capacity * sizeof *s->size);
		s->at = realloc(s->at, s->capacity * sizeof *s->at);
		if (!s->data || !s->size || !s->at)
			abort(); /* in the command's child process, never in a host */
	}
	size_t size;
	const void *data = tmk_row_blob(row, 0, &size);
	s->data[s->count] = malloc(size);
	if (!s->data[s->count])
		abort();
	memcpy(s->data[s->count], data, size);
	s->size[s->count] = size;
	s->at[s->count++] = 0;
}

/* Spilled chunks are each in order; together they are what the rings gave back. */
static void drain_spill(struct tmk_writer *w)
{
	struct spilled s = {0};
	tmk_store_read(w->store, "SELECT data FROM spill ORDER BY id", load_spill, &s);
	for (;;) {
		uint32_t best = UINT32_MAX;
		uint64_t seq = UINT64_MAX;
		for (uint32_t i = 0; i < s.count; i++) {
			struct tmk_record *r =
			        (struct tmk_record *)(s.data[i] + s.at[i]);
			if (s.at[i] + sizeof *r <= s.size[i] && r->seq < seq) {
				seq = r->seq;
				best = i;
			}
		}
		if (best == UINT32_MAX)
			break;
		struct tmk_record *r = (struct tmk_record *)(s.data[best] + s.at[best]);
		s.at[best] += r->size ? r->size : s.size[best];
		if (seq >= w->next_seq) {
			w->next_seq = seq + 1;
			take(w, r);
		}
	}
	for (uint32_t i = 0; i < s.count; i++)
		free(s.data[i]);
	free(s.data);
	free(s.size);
	free(s.at);
}

static void read_seq(struct tmk_row *row, void *context)
{
	*(uint64_t *)context = (uint64_t)tmk_row_int(row, 0);
}

static void skip_committed(struct tmk_writer *w)
{
	uint32_t n = atomic_load(&w->rings->ready);
	for (uint32_t i = 0; i < n; i++)
		for (struct tmk_record *r;
		     (r = peek(&w->rings->ring[i])) && r->seq < w->next_seq && r->size;)
			w->rings->ring[i].read += r->size;
}

int tmk_writer_recover(struct tmk_rings *rings, const char *path, const char *ended,
                       char *message, size_t size)
{
	struct tmk_writer *w = tmk_writer_new(rings, path);
	if (!w || !open_model(w, true, message, size)) {
		free(w);
		return -1;
	}
	tmk_store_read(w->store, "SELECT value FROM meta WHERE key = 'recover.seq'",
	               read_seq, &w->next_seq);
	w->committed_seq = w->next_seq;
	drain_spill(w);
	skip_committed(w);
	drain(w, true);
	finish(w, w->model->ended ? "exit" : ended);
	const char *failed = tmk_store_failed(w->store);
	if (failed)
		snprintf(message, size, "%s", failed);
	int rc = failed ? -1 : 0;
	tmk_store_close(w->store);
	tmk_model_free(w->model);
	free(w->hold.data);
	free(w);
	return rc;
}
