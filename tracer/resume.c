/* resume.c - the writer's work after its process: what the spill and the rings hold goes
 * into the trace, which is then finished.
 *
 * All of it is one transaction: a recovery that is killed has changed nothing, and the
 * next one begins where it began. Nothing in the files is believed: they may lie where a
 * machine crashed, or come from somebody else (check.c).
 *
 * Called from: recover.c, in a process of the command's. Owns: the writer it makes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "writer_private.h"

/* ---- rings that may be damaged ------------------------------------------------------- */

/* A record that can come next in this ring: sound, and numbered as what comes next is. */
static bool fits(const struct tmk_writer *w, const struct tmk_ring *ring,
                 const struct tmk_record *r, uint64_t room)
{
	return tmk_record_is_sound(r, room) && r->seq >= ring->next_seq &&
	       (w->copies || r->seq < w->rings->header->seq);
}

/* What is no record is passed over and counted, as is what the trace has already. */
static struct tmk_record *peek(struct tmk_writer *w, struct tmk_ring *ring)
{
	uint64_t head = atomic_load(&ring->cursor->head);
	while (ring->read < head) {
		char *at = ring->data + (ring->read & (ring->size - 1));
		struct tmk_record *r = (struct tmk_record *)at;
		if (ring->read < ring->checked)
			return r;
		if (!fits(w, ring, r, head - ring->read)) {
			ring->read += 8; /* records begin at multiples of 8 */
			w->damaged += 8;
			continue;
		}
		if (w->copies && r->seq >= w->rings->header->seq) {
			ring->read = head; /* later than the moment that is copied */
			return NULL;
		}
		ring->next_seq = r->seq + 1;
		ring->checked = ring->read + r->size;
		if (r->seq >= w->next_seq)
			return r;
		ring->read = ring->checked; /* the trace has it */
	}
	return NULL;
}

/* Cursors that cannot be: the ring's data has no beginning. */
static void check_cursors(struct tmk_writer *w)
{
	uint32_t n = atomic_load(&w->rings->ready);
	for (uint32_t i = 0; i < n; i++) {
		struct tmk_ring *r = &w->rings->ring[i];
		uint64_t head = atomic_load(&r->cursor->head);
		uint64_t tail = atomic_load(&r->cursor->tail);
		if (tail <= head && head - tail <= r->size && head % 8 == 0 &&
		    tail % 8 == 0)
			continue;
		w->damaged += r->size;
		r->read = head;
	}
}

/* Numbers that were given out and stand nowhere. A thread that was killed between taking
 * its number and writing the record had not returned from its hook: at most one a ring. */
static void count_missing(struct tmk_writer *w)
{
	uint64_t given = atomic_load(&w->rings->header->seq);
	uint32_t rings = atomic_load(&w->rings->ready);
	uint64_t missing = given > w->next_seq ? given - w->next_seq : 0;
	/* as many as the rings have room for, if the count itself is damaged */
	uint64_t most = 0;
	for (uint32_t i = 0; i < rings; i++)
		most += w->rings->ring[i].size / sizeof(struct tmk_record);
	if (missing > most)
		missing = most;
	if (w->damaged ? missing > 0 : missing + w->cut > rings)
		w->model->lost[TMK_LOST_GAP] += missing;
}

/* In a copy of a run that goes on, a number without a record is a hook at work. */
static void forget_hooks_at_work(struct tmk_writer *w, uint64_t lost_before)
{
	if (w->model->lost[TMK_LOST_GAP] - lost_before <= atomic_load(&w->rings->ready))
		w->model->lost[TMK_LOST_GAP] = lost_before;
}

/* ---- the spill ----------------------------------------------------------------------- */

struct spilled {
	char **data;
	size_t *size, *at;
	uint32_t count, capacity;
	bool failed; /* no memory for all of it */
};

static void load_spill(struct tmk_row *row, void *context)
{
	struct spilled *s = context;
	if (s->count == s->capacity) {
		uint32_t more = s->capacity ? s->capacity * 2 : 64;
		char **data = realloc(s->data, more * sizeof(*data));
		s->data = data ? data : s->data;
		size_t *size = realloc(s->size, more * sizeof(*size));
		s->size = size ? size : s->size;
		size_t *at = realloc(s->at, more * sizeof(*at));
		s->at = at ? at : s->at;
		s->failed |= !data || !size || !at;
		s->capacity = s->failed ? s->capacity : more;
	}
	size_t size;
	const void *data = tmk_row_blob(row, 0, &size);
	char *copy = s->failed ? NULL : malloc(size + 1);
	if (!copy) {
		s->failed = true;
		return;
	}
	memcpy(copy, data ? data : "", data ? size : 0);
	s->data[s->count] = copy;
	s->size[s->count] = data ? size : 0;
	s->at[s->count++] = 0;
}

/* The next sound record of one chunk; NULL at its end. */
static struct tmk_record *spill_peek(struct tmk_writer *w, struct spilled *s,
                                     uint32_t i)
{
	while (s->at[i] < s->size[i]) {
		struct tmk_record *r = (struct tmk_record *)(s->data[i] + s->at[i]);
		if (tmk_record_is_sound(r, s->size[i] - s->at[i]))
			return r;
		s->at[i] += 8;
		w->damaged += 8;
	}
	return NULL;
}

static struct tmk_record *spill_next(struct tmk_writer *w, struct spilled *s)
{
	struct tmk_record *first = NULL;
	uint32_t from = 0;
	for (uint32_t i = 0; i < s->count; i++) {
		struct tmk_record *r = spill_peek(w, s, i);
		if (r && (!first || r->seq < first->seq)) {
			first = r;
			from = i;
		}
	}
	if (first)
		s->at[from] += first->size;
	return first;
}

/* Chunks are each in order; together they are what the rings gave back. */
static void drain_spill(struct tmk_writer *w)
{
	struct spilled s = {0};
	struct tmk_record *r;
	tmk_store_read(w->store, "SELECT data FROM spill ORDER BY id", load_spill, &s);
	while ((r = spill_next(w, &s))) {
		if (r->seq < w->next_seq || r->seq >= w->rings->header->seq)
			continue;
		tmk_writer_skip(w, r->seq);
		w->next_seq = r->seq + 1;
		tmk_writer_take(w, r);
	}
	w->model->lost[TMK_LOST_MEMORY] += s.failed;
	for (uint32_t i = 0; i < s.count; i++)
		free(s.data[i]);
	free(s.data);
	free(s.size);
	free(s.at);
}

/* ---- together ------------------------------------------------------------------------ */

static void read_seq(struct tmk_row *row, void *context)
{
	int64_t seq = tmk_row_int(row, 0);
	*(uint64_t *)context = seq > 0 ? (uint64_t)seq : 0;
}

static int resume(struct tmk_writer *w, const char *ended, const char *ring,
                  char *message, size_t size)
{
	if (!tmk_writer_open(w, message, size))
		return -1;
	if (w->over) {
		tmk_store_finish(w->store, ring);
		return 0;
	}
	tmk_store_read(w->store, "SELECT value FROM meta WHERE key = 'recover.seq'",
	               read_seq, &w->next_seq);
	w->committed_seq = w->next_seq;
	check_cursors(w);
	drain_spill(w);
	uint64_t lost = w->model->lost[TMK_LOST_GAP];
	tmk_writer_drain(w, true);
	if (w->copies)
		forget_hooks_at_work(w, lost);
	else
		count_missing(w);
	if (w->damaged)
		tmk_store_run(w->store, TMK_SQL_lost, "damaged", (int64_t)w->damaged,
		              "bytes of the ring that were no records");
	tmk_writer_end(w, w->model->ended ? "exit" : ended);
	const char *failed = tmk_store_failed(w->store);
	if (failed)
		snprintf(message, size, "%s", failed);
	int rc = failed ? -1 : 0;
	if (!tmk_store_finish(w->store, ring) && !rc) {
		snprintf(message, size, "cannot write the trace");
		rc = -1;
	}
	tmk_model_free(w->model);
	return rc;
}

int tmk_writer_recover(struct tmk_rings *rings, const char *path, const char *ended,
                       const char *ring, char *message, size_t size)
{
	struct tmk_writer *w = tmk_writer_new(rings, path);
	if (!w) {
		snprintf(message, size, "out of memory");
		return -1;
	}
	w->recovers = true;
	w->peek = peek;
	w->copies = !ended;
	int rc = resume(w, ended, ring, message, size);
	free(w->hold.data);
	free(w);
	return rc;
}
