/* glance.c - where a run is just now, by its ring, beside the living writer.
 *
 * Reads the ring's file with pread(2): nothing is mapped, locked or changed, so the writer
 * cannot tell that somebody looks. Of each thread's ring it reads what came since the last
 * look, never more than the ring holds, whatever size the trace has.
 * Called from: hooks/api.c (tidemark_glance), in a process of the command's. */
#include "glance.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"
#include "model.h"
#include "ring.h"
#include "settings.h"
#include "store.h"

struct newest { /* the newest event of a device */
	struct tmk_device_id id;
	uint64_t seq, tick, allocated, reserved;
};

struct glance {
	const char *trace;
	struct tmk_store_about about;
	struct tmk_rings rings; /* descriptor and header alone: no ring is mapped */
	_Alignas(8) char page[TMK_RING_PAGE];
	uint64_t from[TMK_MAX_RINGS]; /* where the last look ended */
	bool seen[TMK_MAX_RINGS];
	struct newest device[TMK_MAX_DEVICES];
	int devices;
	int phase; /* enum tmk_phase; TMK_OPEN: a boundary says later */
	uint64_t phase_seq;
	char *data; /* one ring's new bytes */
	char *text;
	size_t used, size;
};

/* ---- what the records say ------------------------------------------------------------ */

/* Which phase a boundary begins; TMK_OPEN where the next boundary names it. */
static int begins(uint8_t boundary)
{
	switch (boundary) {
	case TMK_AT_FORWARD:
		return TMK_FORWARD;
	case TMK_AT_BACKWARD:
		return TMK_BACKWARD;
	case TMK_AT_STEP:
		return TMK_OPTIMIZER;
	case TMK_AT_ZERO_GRAD:
		return TMK_ZERO_GRAD;
	case TMK_AT_DATA:
		return TMK_DATA;
	default:
		return TMK_OPEN;
	}
}

static void phase_is(struct glance *g, uint64_t seq, int phase)
{
	if (seq < g->phase_seq)
		return;
	g->phase_seq = seq;
	g->phase = phase;
}

static struct newest *device_of(struct glance *g, struct tmk_device_id id)
{
	if (id.index < 0)
		id.index = 0;
	for (int i = 0; i < g->devices; i++)
		if (g->device[i].id.type == id.type &&
		    g->device[i].id.index == id.index)
			return &g->device[i];
	if (g->devices == TMK_MAX_DEVICES)
		return NULL;
	g->device[g->devices] = (struct newest){.id = id};
	return &g->device[g->devices++];
}

static void take_event(struct glance *g, const struct tmk_rec_event *e)
{
	struct newest *d = device_of(g, e->device);
	if (e->phase < TMK_PHASES)
		phase_is(g, e->head.seq, e->phase);
	if (!d || e->head.seq < d->seq || e->flags & TMK_EVENT_NO_TOTAL)
		return;
	d->seq = e->head.seq;
	d->tick = e->head.tick;
	d->allocated = e->allocated;
	d->reserved = e->reserved;
}

static void take(struct glance *g, const struct tmk_record *r)
{
	if (r->kind == TMK_REC_ALLOC || r->kind == TMK_REC_FREE)
		take_event(g, (const struct tmk_rec_event *)r);
	else if (r->kind == TMK_REC_BOUNDARY)
		phase_is(g, r->seq, begins(r->code));
}

/* ---- one ring ------------------------------------------------------------------------ */

static bool read_all(int fd, void *to, size_t size, off_t at)
{
	ssize_t n;
	for (char *p = to; size; p += n, at += n, size -= (size_t)n) {
		n = pread(fd, p, size, at);
		if (n <= 0)
			return false;
	}
	return true;
}

/* Bytes [from, to) of a ring whose data begin at `at`, over its end where they go there. */
static bool read_span(const struct glance *g, off_t at, uint64_t from, uint64_t to)
{
	uint64_t size = g->rings.header->data_size, place = from & (size - 1);
	uint64_t first = to - from < size - place ? to - from : size - place;
	return read_all(g->rings.fd, g->data, first, at + (off_t)place) &&
	       read_all(g->rings.fd, g->data + first, to - from - first, at);
}

static void walk(struct glance *g, uint64_t length)
{
	for (uint64_t at = 0; at < length;) {
		const struct tmk_record *r = (const struct tmk_record *)(g->data + at);
		if (!tmk_record_is_sound(r, length - at))
			return;
		take(g, r);
		at += r->size;
	}
}

/* What lies behind the tail may be written over at any moment. It is whole while the producer
 * is less than half a ring ahead: no record is longer than a quarter. */
static bool is_whole(uint64_t from, uint64_t head, uint64_t tail, uint64_t size)
{
	return from >= tail || head - from <= size / 2;
}

static void read_ring(struct glance *g, uint32_t i)
{
	const uint64_t size = g->rings.header->data_size;
	const off_t at = TMK_RING_PAGE + (off_t)i * (off_t)(TMK_RING_PAGE + size);
	struct tmk_ring_cursor before, after;

	for (int attempt = 0; attempt < 3; attempt++) {
		if (!read_all(g->rings.fd, &before, sizeof(before), at))
			return;
		uint64_t head = atomic_load(&before.head),
		         tail = atomic_load(&before.tail);
		uint64_t from = g->seen[i] ? g->from[i] : tail;
		if (from > head || !is_whole(from, head, tail, size))
			from = tail;
		if (from > head || head - from > size)
			return;
		if (!read_span(g, at + TMK_RING_PAGE, from, head) ||
		    !read_all(g->rings.fd, &after, sizeof(after), at))
			return;
		if (!is_whole(from, atomic_load(&after.head), atomic_load(&after.tail),
		              size))
			continue;
		walk(g, head - from);
		g->from[i] = head;
		g->seen[i] = true;
		return;
	}
}

/* ---- the file ------------------------------------------------------------------------ */

static int failed(struct glance *g, const char *format, const char *what)
{
	snprintf(g->text, g->size, format, what);
	return TMK_GLANCE_FAILED;
}

static int open_ring(struct glance *g)
{
	char *path = g->rings.path;
	snprintf(path, sizeof(g->rings.path), "%s-ring", g->trace);
	if (access(path, F_OK) && *g->about.ring)
		snprintf(path, sizeof(g->rings.path), "%s", g->about.ring);
	g->rings.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (g->rings.fd < 0 && errno == ENOENT)
		return TMK_GLANCE_ENDED;
	if (g->rings.fd < 0)
		return failed(g, "cannot open '%s'", path);
	struct tmk_ring_header *h = g->rings.header = (struct tmk_ring_header *)g->page;
	if (!read_all(g->rings.fd, g->page, sizeof(g->page), 0) || !h->magic)
		return failed(g, "'%s' is damaged, or is being made", path);
	if (h->magic != TMK_RING_MAGIC || h->layout != tmk_ring_layout() ||
	    h->data_size < 4096 || h->data_size > TMK_RING_MOST ||
	    h->data_size & (h->data_size - 1) || atomic_load(&h->rings) > TMK_MAX_RINGS)
		return failed(g, "'%s' is damaged, or was written by another version",
		              path);
	if (*g->about.token && strncmp(g->about.token, h->token, sizeof(h->token)))
		return failed(g, "'%s' belongs to another run", path);
	return 0;
}

static void remember(struct glance *g, const char *seen)
{
	uint64_t position;
	unsigned ring;
	for (; seen; seen = (seen = strchr(seen, '\n')) ? seen + 1 : NULL) {
		if (sscanf(seen, "ring %u %" SCNu64, &ring, &position) != 2 ||
		    ring >= TMK_MAX_RINGS)
			continue;
		g->from[ring] = position;
		g->seen[ring] = true;
	}
}

/* ---- the answer ---------------------------------------------------------------------- */

static void say(struct glance *g, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
static void say(struct glance *g, const char *format, ...)
{
	va_list list;
	if (g->used >= g->size)
		return;
	va_start(list, format);
	int n = vsnprintf(g->text + g->used, g->size - g->used, format, list);
	va_end(list);
	g->used += n > 0 ? (size_t)n : 0;
}

/* As the writer turns ticks into nanoseconds since the run began. */
static int64_t to_ns(const struct tmk_ring_header *h, uint64_t tick)
{
	int64_t away = (int64_t)(tick - atomic_load(&h->anchor_tick));
	return (int64_t)atomic_load(&h->anchor_ns) +
	       (int64_t)(((__int128)away * (int64_t)atomic_load(&h->rate)) >> 32);
}

static void tell(struct glance *g)
{
	const struct tmk_ring_header *h = g->rings.header;
	char name[32];

	say(g, "pid %u\n", h->owner.pid);
	say(g, "now %" PRId64 "\n", to_ns(h, tmk_tick()));
	say(g, "stopped %u\n", atomic_load(&h->stopped));
	say(g, "lost %" PRIu64 "\n", atomic_load(&h->ring_full));
	if (g->phase_seq)
		say(g, "phase %d\n", g->phase < TMK_PHASES ? g->phase : -1);
	for (int i = 0; i < g->devices; i++) {
		const struct newest *d = &g->device[i];
		if (!d->tick)
			continue;
		tmk_model_device_name(d->id, name, sizeof(name));
		say(g, "device %s %" PRIu64 " %" PRIu64 " %" PRId64 "\n", name,
		    d->allocated, d->reserved, to_ns(h, d->tick));
	}
	for (uint32_t i = 0; i < TMK_MAX_RINGS; i++)
		if (g->seen[i])
			say(g, "ring %u %" PRIu64 "\n", i, g->from[i]);
}

static int look(struct glance *g)
{
	int rc = open_ring(g);
	if (rc)
		return rc;
	const struct tmk_ring_header *h = g->rings.header;
	enum tmk_owner_state owner = tmk_rings_owner(&g->rings);
	g->data = malloc(h->data_size);
	for (uint32_t i = 0; g->data && i < atomic_load(&h->rings); i++)
		read_ring(g, i);
	free(g->data);
	tell(g);
	if (atomic_load(&h->finished))
		return TMK_GLANCE_ENDED;
	return owner == TMK_OWNER_LIVES  ? TMK_GLANCE_LIVES
	       : owner == TMK_OWNER_GONE ? TMK_GLANCE_KILLED
	                                 : TMK_GLANCE_UNKNOWN;
}

int tmk_glance(const char *trace, const char *seen, char *text, size_t size)
{
	struct glance *g = calloc(1, sizeof(*g));
	int rc = TMK_GLANCE_ENDED;
	*text = 0;
	if (!g)
		return TMK_GLANCE_FAILED;
	g->trace = trace;
	g->text = text;
	g->size = size;
	g->phase = TMK_OPEN;
	g->rings.fd = -1;
	tmk_clock_init();
	remember(g, seen);
	tmk_store_about(trace, &g->about);
	if (!g->about.ended)
		rc = look(g);
	if (g->rings.fd >= 0)
		close(g->rings.fd);
	free(g);
	return rc;
}
