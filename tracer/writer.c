/* writer.c - the writer: records in their order, into the model and the trace.
 *
 * The order of events is their sequence number, dense over all rings: the next record is
 * the one with the next number, wherever it stands. A ring's space is given back only
 * when what it held is committed in the trace: as rows when its step has ended, or as
 * spilled records when a ring is half full before that. So a process that dies at any
 * moment leaves everything a hook returned from in the trace and the rings together.
 *
 * Called from: resume.c, session.c, thread.c. Owns: store and model. */
#include "writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "emit.h"
#include "latch.h"
#include "settings.h"
#include "writer_private.h"

/* ---- the clock ------------------------------------------------------------------- */

void tmk_writer_calibrate(struct tmk_writer *w)
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

void tmk_writer_commit_now(struct tmk_writer *w)
{
	bool done = tmk_store_commit(w->store);
	if (done)
		give_back(w);
	w->due = !done;
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
	if (w->recovers)
		return;
	tmk_model_save(w->model);
	/* What is still held back may be in the spill alone. */
	if (!w->again)
		tmk_store_run(w->store, TMK_SQL_spill_clear);
	tmk_store_run(w->store, TMK_SQL_meta_number, "recover.seq", (int64_t)seq);
	w->due = true;
	if (fuller_than(w, 4) || tmk_clock_ns() - w->last_commit_ns > 100000000)
		tmk_writer_commit_now(w);
}

/* A ring is half full and its step goes on: its records go into the trace as they are. */
static void spill(struct tmk_writer *w)
{
	if (w->due)
		tmk_writer_commit_now(w);
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
	if (!tmk_store_commit(w->store)) {
		w->due = true;
		return;
	}
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

/* Where the rings are read to is a mark only while nothing read waits to be applied. */
static void mark(struct tmk_writer *w)
{
	if (!w->again)
		set_marks(w);
}

static void apply(struct tmk_writer *w, const struct tmk_record *r)
{
	uint32_t step = w->model->step;
	tmk_model_apply(w->model, r, to_ns(w, r->tick));
	if (w->model->step != step) { /* a boundary that ends a step by itself */
		mark(w);
		commit(w, r->seq + 1);
	} else if (tmk_model_step_may_end(w->model, r)) {
		w->hold.on = true;
		w->hold.from = r->seq + 1;
		mark(w);
		w->hold.size = 0;
	}
}

static void keep(struct tmk_writer *w, const struct tmk_record *r)
{
	struct hold *h = &w->hold;
	if (h->size + r->size > h->capacity) {
		size_t bigger = (h->capacity + r->size) * 2;
		char *p = realloc(h->data, bigger);
		if (!p) {
			w->model->lost[TMK_LOST_MEMORY]++;
			return;
		}
		h->data = p;
		h->capacity = bigger;
	}
	memcpy(h->data + h->size, r, r->size);
	h->size += r->size;
}

/* What was held is taken once more, in its order: another step may end in the midst of it,
 * where several threads train or a whole row of forwards was held. */
static void release(struct tmk_writer *w, bool ended)
{
	struct hold h = w->hold;
	memset(&w->hold, 0, sizeof(w->hold));
	w->again++;
	if (h.forward && ended) {
		tmk_model_decide(w->model, false);
	} else if (!h.forward && ended) {
		tmk_model_end_step(w->model, true);
		tmk_model_use_up(w->model);
		commit(w, h.from);
	}
	for (size_t at = 0; at < h.size;) {
		const struct tmk_record *r = (const struct tmk_record *)(h.data + at);
		tmk_writer_take(w, r);
		at += r->size;
		if (!r->size) /* the ring was emptied as it was kept */
			break;
	}
	w->again--;
	if (w->hold.data) {
		free(h.data);
		return;
	}
	h.size = 0;
	w->hold.data = h.data; /* the room, for the next */
	w->hold.capacity = h.capacity;
}

/* How much is held back at most: what comes between two steps is little; of a loop that may
 * have no optimizer, several forwards and backwards. */
enum { HELD_MOST = 1 << 20, FORWARDS_HELD_MOST = 16 << 20 };

/* False: `r` is held back, too. */
static bool settled(struct tmk_writer *w, const struct tmk_record *r)
{
	const struct hold *h = &w->hold;
	if (h->forward) {
		bool told = tmk_model_tells(w->model, r);
		if (!told && h->size < FORWARDS_HELD_MOST)
			return false;
		release(w, !told);
		return true;
	}
	int verdict = tmk_model_ends_hold(w->model, r);
	if (!verdict && h->size < HELD_MOST)
		return false;
	release(w, verdict >= 0);
	return true;
}

void tmk_writer_take(struct tmk_writer *w, const struct tmk_record *r)
{
	/* What was held may end in a hold of its own: then that is to be settled, too. */
	while (w->hold.on && settled(w, r))
		;
	if (!w->hold.on && tmk_model_must_wait(w->model, r)) {
		w->hold.on = w->hold.forward = true;
		w->hold.size = 0;
		w->hold.from = r->seq;
	}
	if (w->hold.on)
		keep(w, r);
	else
		apply(w, r);
	if (!w->recovers) /* between two records SQLite is whole */
		tmk_latch_yield(TMK_LATCH_STORE);
}

/* ---- merging --------------------------------------------------------------------- */

static struct tmk_record *peek(struct tmk_writer *w, struct tmk_ring *r)
{
	if (w->peek)
		return w->peek(w, r);
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
		struct tmk_record *r = peek(w, &w->rings->ring[at]);
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
	/* Forwards that are held back wait on, in the spill: room is no evidence of where a
	 * step ends. */
	while (w->hold.on && !w->hold.forward)
		release(w, true);
	if (w->due)
		tmk_writer_commit_now(w);
	if (!fuller_than(w, 2))
		return;
	if (!w->hold.on && tmk_model_is_long(w->model)) {
		tmk_model_flush(w->model);
		set_marks(w);
		commit(w, w->next_seq);
		tmk_writer_commit_now(w);
	} else {
		spill(w);
	}
}

/* A thread has taken its number and not yet written its record: it will in a moment, unless
 * it died there. True: no longer to be waited for. */
static bool given_up_on(struct tmk_writer *w, bool final)
{
	enum { A_MOMENT = 200000000, AT_THE_END = 20000000 }; /* ns */
	uint64_t now = tmk_clock_ns();
	if (w->recovers)
		return true;
	if (!w->waiting_since)
		w->waiting_since = now;
	return now - w->waiting_since >= (final ? AT_THE_END : A_MOMENT);
}

/* Rings that have no record any more. */
static uint64_t used_up(struct tmk_writer *w)
{
	uint64_t count = 0;
	uint32_t n = atomic_load_explicit(&w->rings->ready, memory_order_acquire);
	for (uint32_t i = 0; i < n; i++)
		count += !peek(w, &w->rings->ring[i]);
	return count;
}

void tmk_writer_skip(struct tmk_writer *w, uint64_t to)
{
	uint64_t missing = to - w->next_seq;
	/* A thread that was killed between taking its number and writing the record had not
	 * returned from its hook, and wrote nothing after: at most one a ring. */
	if (missing && w->recovers && !w->damaged) {
		uint64_t rings = used_up(w);
		uint64_t cut = rings > w->cut ? rings - w->cut : 0;
		cut = cut < missing ? cut : missing;
		w->cut += cut;
		missing -= cut;
	}
	w->model->lost[TMK_LOST_GAP] += missing;
	w->next_seq = to;
}

static void look_for_room(struct tmk_writer *w)
{
	if (!w->recovers && fuller_than(w, 2))
		make_room(w);
	else if (w->recovers && tmk_model_is_long(w->model))
		tmk_model_flush(w->model);
}

void tmk_writer_drain(struct tmk_writer *w, bool final)
{
	struct tmk_ring *ring;
	uint64_t behind;
	for (;;) {
		struct tmk_record *r = next(w, &ring, &behind);
		if (!r && behind == UINT64_MAX) {
			w->waiting_since = 0;
			return;
		}
		if (!r && tmk_rings_gone(w->rings)) /* there is no record to wait for */
			return;
		if (!r && !given_up_on(w, final)) {
			if (!final)
				return;
			usleep(100);
			continue;
		}
		if (!r) {
			tmk_writer_skip(w, behind);
			continue;
		}
		w->waiting_since = 0;
		ring->read += r->size;
		w->next_seq = r->seq + 1;
		tmk_writer_take(w, r);
		look_for_room(w);
	}
}

/* ---- begin and end --------------------------------------------------------------- */

static void read_over(struct tmk_row *row, void *context)
{
	*(bool *)context = tmk_row_int(row, 0) == 1;
}

bool tmk_writer_open(struct tmk_writer *w, char *message, size_t size)
{
	w->store = tmk_store_open(w->path, message, size);
	if (!w->store)
		return false;
	/* Asked where the trace is ours alone: another recovery may have come to its end. And
	 * before a model is made of it, which takes back what an unfinished step has written. */
	if (w->recovers)
		tmk_store_read(w->store, "SELECT ended IS NOT NULL FROM run", read_over,
		               &w->over);
	if (w->over)
		return true;
	w->model = tmk_model_new(w->store, w->recovers);
	if (!w->model) {
		snprintf(message, size, "out of memory");
		tmk_store_close(w->store);
		return false;
	}
	/* From the ring's header, so that a process killed in its first milliseconds has
	 * its row too. */
	tmk_store_run(w->store, TMK_SQL_run, w->rings->header->version,
	              (int64_t)w->rings->header->started_unix_ns);
	tmk_store_run(w->store, TMK_SQL_meta, "token", w->rings->header->token);
	if (w->recovers)
		return true;
	tmk_store_set_run(w->store, "ring", w->rings->path, false);
	/* Where the ring lies elsewhere, the trace alone says where. */
	if (tmk_place_is_network(w->path) && !tmk_store_commit(w->store)) {
		snprintf(message, size, "cannot write the trace");
		tmk_store_close(w->store);
		tmk_model_free(w->model);
		return false;
	}
	return true;
}

struct tmk_writer *tmk_writer_new(struct tmk_rings *rings, const char *path)
{
	struct tmk_writer *w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->rings = rings;
	snprintf(w->path, sizeof(w->path), "%s", path);
	return w;
}

void tmk_writer_end(struct tmk_writer *w, const char *ended)
{
	while (w->hold.on)
		release(w, true);
	const struct tmk_ring_header *h = w->rings->header;
	w->model->lost[TMK_LOST_RING_FULL] += atomic_load(&h->ring_full);
	w->model->lost[TMK_LOST_RING_FULL_OTHER] += atomic_load(&h->ring_full_other);
	tmk_model_finish(w->model, ended);
}
