/* segment.c - memory taken from the driver and given back, and what device and allocator hold
 * then. A segment is given back with any device set: its own is that of its birth.
 * Called from: model.c. */
#include "model.h"

#include "store_queries.h"

void tmk_model_sample(struct tmk_model *m, struct tmk_device_state *d, int64_t ns,
                      int64_t reserved, bool free_known)
{
	bool said = free_known && d->total_bytes;
	if (reserved != TMK_NULL)
		d->sampled_reserved = reserved;
	tmk_store_run(m->store, TMK_SQL_sample, (int64_t)(d - m->device),
	              (int64_t)m->step, (int64_t)m->flushed + m->events, ns,
	              d->allocated, reserved, said ? (int64_t)d->free_bytes : TMK_NULL,
	              said ? (int64_t)d->total_bytes : TMK_NULL);
}

struct segment {
	int64_t id, device, bytes; /* id 0: nobody has seen it taken */
};

static void read_segment(struct tmk_row *row, void *context)
{
	*(struct segment *)context = (struct segment){
	        tmk_row_int(row, 0), tmk_row_int(row, 1), tmk_row_int(row, 2)};
}

static void taken(struct tmk_model *m, struct tmk_device_state *d,
                  const struct tmk_rec_segment *r, int64_t ns)
{
	tmk_store_run(m->store, TMK_SQL_segment, (int64_t)(d - m->device), r->call,
	              (int64_t)r->host, (int64_t)r->address, (int64_t)r->bytes,
	              (int64_t)m->step, (int64_t)m->flushed + m->events, ns);
	if (r->host)
		return;
	d->segments += (int64_t)r->bytes;
	tmk_model_sample(m, d, ns, d->reserved, r->total_bytes != 0);
}

/* Where all that was taken from a device is what its allocator says it has reserved, it is
 * all the allocator's, and what it holds without this segment is known before it says so. */
static void given(struct tmk_model *m, struct tmk_device_state *d,
                  const struct tmk_rec_segment *r, int64_t ns)
{
	const int64_t where[] = {(int64_t)r->address, r->host};
	struct segment s = {0};
	bool said = r->total_bytes != 0;
	tmk_store_ask(m->store, sql_segment_at, where, 2, read_segment, &s);
	if (s.id)
		tmk_store_run(m->store, TMK_SQL_segment_died, (int64_t)m->step,
		              (int64_t)m->flushed + m->events, ns, s.id);
	if (r->host)
		return;
	if (s.id && s.device >= 0 && s.device < m->devices) {
		said &= d == &m->device[s.device];
		d = &m->device[s.device];
	}
	m->given.address = r->address;
	m->given.device = (uint8_t)(d - m->device);
	m->given.known = s.id && d->segments == d->reserved;
	tmk_model_sample(m, d, ns, d->reserved, said);
	d->segments -= s.bytes;
	if (m->given.known)
		d->reserved -= s.bytes;
}

/* Just after a segment was given back. Until its allocator has said what it holds now, that
 * is NULL; so is what is free on another device than the current one. */
static void look_again(struct tmk_model *m, struct tmk_device_state *d,
                       const struct tmk_rec_segment *r, int64_t ns)
{
	bool ours = r->address && m->given.address == r->address;
	struct tmk_device_state *its = ours ? &m->device[m->given.device] : d;
	bool said = its == d && r->total_bytes, known = ours && m->given.known;
	if (known || said)
		tmk_model_sample(m, its, ns, known ? its->reserved : TMK_NULL, said);
	if (ours)
		m->given.address = 0;
}

void tmk_model_segment(struct tmk_model *m, const struct tmk_rec_segment *r, int64_t ns)
{
	struct tmk_device_state *d = tmk_model_device(m, r->device);
	if (r->total_bytes) {
		if (!d->total_bytes)
			tmk_store_run(m->store, TMK_SQL_device,
			              (int64_t)(d - m->device), d->name, "cuda",
			              (int64_t)r->total_bytes, NULL);
		d->free_bytes = r->free_bytes;
		d->total_bytes = r->total_bytes;
	}
	if (r->head.code == TMK_SEGMENT_TAKEN)
		taken(m, d, r, ns);
	else if (r->head.code == TMK_SEGMENT_GIVEN)
		given(m, d, r, ns);
	else if (r->head.code == TMK_SEGMENT_MAPPED)
		tmk_store_run(m->store, TMK_SQL_segment_mapped, (int64_t)r->bytes,
		              (int64_t)r->address);
	else if (r->head.code == TMK_SEGMENT_SAMPLE)
		look_again(m, d, r, ns);
}
