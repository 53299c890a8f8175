/* model.c - applying records: births, deaths, evidence.
 * Called from: writer.c (its own thread) and recover.c. Boundaries are in loop.c, segments in
 * segment.c, labels in label.c, buckets in classify.c, the end of a step in step.c. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fold.h"

/* The CUDA allocator reports under its lock. CPU tensors are reported outside of the
 * reporter's: where threads compute side by side, totals come in any order, and one that
 * was preempted in between reports long after. Our own sum goes on; theirs is right when
 * it keeps differing by the same amount for longer than any thread is kept waiting. */
static bool disagrees(struct tmk_device_state *d, int64_t told, int64_t ns)
{
	int64_t drift = told - d->allocated;
	if (d->id.type != 0)
		return drift != 0;
	if (drift != d->drift) {
		d->drift_ns = ns;
		d->drift_events = 0;
	}
	d->drift = drift;
	d->drift_events++;
	return tmk_model_drifts(d) && ns - d->drift_ns > TMK_KEPT_WAITING_NS;
}

/* The trace checks itself: our sum must be what the allocator says, event by event. */
static void account(struct tmk_model *m, struct tmk_device_state *d,
                    const struct tmk_rec_event *r, int64_t bytes, int64_t ns)
{
	d->allocated += bytes;
	if (r->flags & TMK_EVENT_NO_TOTAL) {
		d->seen = true;
	} else {
		int64_t told = (int64_t)r->allocated;
		if (!d->seen) {
			/* what was allocated before we looked */
			int64_t before = told - bytes;
			d->start_allocated += before;
			m->lost[TMK_LOST_BEFORE] += before > 0;
			d->allocated = told;
			d->seen = true;
		}
		if (disagrees(d, told, ns)) {
			m->lost[TMK_LOST_MISMATCH]++;
			d->allocated = told;
			d->drift = 0;
		}
		d->reserved = (int64_t)r->reserved;
	}
	if (d->reserved != d->sampled_reserved)
		tmk_model_sample(m, d, ns, d->reserved, true);
}

static void birth(struct tmk_model *m, struct tmk_ev *e, const struct tmk_rec_event *r)
{
	bool existed;
	e->requested = r->requested;
	e->op = r->op;
	e->python = r->python;
	e->native = r->native;
	e->module = r->module;
	e->shape = r->shape;
	e->scope = r->scope;
	struct tmk_live *l = tmk_live_add(&m->live, e->device, e->ptr, &existed);
	if (!l) {
		m->lost[TMK_LOST_MEMORY]++;
		return;
	}
	m->lost[TMK_LOST_TWICE] += existed;
	l->bytes = e->bytes;
	l->requested = e->requested;
	l->born_ns = e->ns;
	l->born_step = m->step;
	l->born = m->flushed + m->events;
	l->phase = e->phase;
	tmk_model_add_unwritten(m, l);
}

static void death(struct tmk_model *m, struct tmk_ev *e)
{
	struct tmk_live *l = tmk_live_find(&m->live, e->device, e->ptr);
	e->target = UINT32_MAX;
	if (!l) {
		m->lost[TMK_LOST_UNMATCHED]++;
		return;
	}
	if (l->rule == TMK_RULE_setup_survivor || l->rule == TMK_RULE_leaf)
		tmk_model_setup_dies(m, l);
	/* Of an optimizer that steps inside the backward, which never sees it return. */
	if (e->phase == TMK_ZERO_GRAD && l->evidence & TMK_EV_CANDIDATE)
		l->evidence |= TMK_EV_GRADIENT;
	if (e->phase == TMK_OPEN && l->evidence & TMK_EV_GRADIENT)
		tmk_model_loop(m, e->thread)->dropped = true;
	if (l->born_step == m->step && l->born >= m->flushed) {
		struct tmk_ev *b = &m->ev[l->born - m->flushed];
		b->died = m->flushed + m->events + 1;
		b->evidence = l->evidence;
		b->named = l->named;
		e->target = l->born - m->flushed;
	} else if (tmk_grow((void **)&m->carried, &m->carried_capacity,
	                    m->carried_count, sizeof(*m->carried))) {
		e->carried = 1;
		e->target = m->carried_count;
		m->carried[m->carried_count++] = *l;
	} else {
		m->lost[TMK_LOST_MEMORY]++;
	}
	tmk_live_remove(&m->live, l);
}

/* cudaFreeAsync is told an address alone: the size is that of the birth. */
static int64_t size_of(struct tmk_model *m, const struct tmk_device_state *d,
                       const struct tmk_rec_event *r)
{
	if (r->head.kind == TMK_REC_ALLOC || r->bytes)
		return r->bytes;
	const struct tmk_live *l =
	        tmk_live_find(&m->live, (uint8_t)(d - m->device), r->ptr);
	return l ? -l->bytes : 0;
}

/* Shared memory (a loader's batch) is reported with a total of 0, when it is mapped and
 * when it is unmapped. The former is told by its "reserved" bytes and never gets here; the
 * latter looks like a free of the last tensor there is, but for nobody knowing it. */
static bool ends_mapping(struct tmk_model *m, const struct tmk_device_state *d,
                         const struct tmk_rec_event *r)
{
	return d->id.type == 0 && r->head.kind == TMK_REC_FREE && !r->allocated &&
	       !(r->flags & TMK_EVENT_NO_TOTAL) &&
	       !tmk_live_find(&m->live, (uint8_t)(d - m->device), r->ptr);
}

/* cudaFreeAsync's caller may have any device set: the block's is that of its birth. */
static struct tmk_device_state *device_of(struct tmk_model *m,
                                          const struct tmk_rec_event *r)
{
	struct tmk_device_state *d = tmk_model_device(m, r->device);
	const uint8_t told = TMK_EVENT_ASYNC | TMK_EVENT_NO_TOTAL;
	if (r->head.kind != TMK_REC_FREE || (r->flags & told) != told ||
	    tmk_live_find(&m->live, (uint8_t)(d - m->device), r->ptr))
		return d;
	for (int i = 0; i < m->devices; i++)
		if (tmk_live_find(&m->live, (uint8_t)i, r->ptr))
			return &m->device[i];
	return d;
}

static void event(struct tmk_model *m, const struct tmk_rec_event *r, int64_t ns)
{
	struct tmk_device_state *d = device_of(m, r);
	int64_t bytes = size_of(m, d, r);
	if (ends_mapping(m, d, r))
		return;
	if (!tmk_grow((void **)&m->ev, &m->capacity, m->events, sizeof(*m->ev))) {
		m->lost[TMK_LOST_MEMORY]++;
		return;
	}
	account(m, d, r, bytes, ns);
	struct tmk_ev *e = &m->ev[m->events];
	memset(e, 0, sizeof(*e));
	e->ns = ns;
	/* the sign tells deaths: also of what was never seen */
	e->bytes = bytes || r->head.kind == TMK_REC_ALLOC ? bytes : -1;
	e->ptr = r->ptr;
	e->allocated = d->allocated;
	e->reserved = d->reserved;
	e->thread = r->head.thread;
	e->device = (uint8_t)(d - m->device);
	e->phase = r->phase;
	e->flags = r->flags;
	if (r->head.kind == TMK_REC_ALLOC)
		birth(m, e, r);
	else
		death(m, e);
	m->events++;
	m->total_events++;
}

static void oom(struct tmk_model *m, const struct tmk_rec_oom *r, int64_t ns)
{
	if (tmk_grow((void **)&m->oom_at, &m->oom_capacity, m->oom_count,
	             sizeof(*m->oom_at)))
		m->oom_at[m->oom_count++] = m->flushed + m->events;
	else
		m->lost[TMK_LOST_MEMORY_OTHER]++;
	struct tmk_device_state *d = tmk_model_device(m, r->device);
	uint8_t phase = tmk_model_phase_of_oom(m, r);
	struct tmk_site site = {phase,     r->head.thread, r->python, r->native,
	                        r->module, r->op,          r->shape,  r->scope};
	uint32_t number = tmk_names_site(m->names, &site);
	tmk_store_run(m->store, TMK_SQL_oom, (int64_t)(d - m->device), (int64_t)m->step,
	              (int64_t)m->flushed + m->events, ns,
	              number ? (int64_t)number : TMK_NULL, r->source,
	              r->requested < 0 ? TMK_NULL : r->requested,
	              r->allocated || r->reserved ? (int64_t)r->allocated
	                                          : d->allocated,
	              r->allocated || r->reserved ? (int64_t)r->reserved : d->reserved,
	              r->total_bytes ? (int64_t)r->free_bytes : TMK_NULL,
	              r->total_bytes ? (int64_t)r->total_bytes : TMK_NULL,
	              *r->message ? r->message : NULL);
}

static void text(struct tmk_model *m, const struct tmk_rec_text *r)
{
	const char *a = r->text, *b = a + strlen(a) + 1;
	switch (r->head.kind) {
	case TMK_REC_RUN:
		tmk_model_python_says(m, r);
		tmk_store_set_run(m->store, a, b, r->id == 1);
		break;
	case TMK_REC_META:
		tmk_store_run(m->store, TMK_SQL_meta, a, b);
		break;
	case TMK_REC_CAPABILITY:
		tmk_store_run(m->store, TMK_SQL_capability, a, b, b + strlen(b) + 1);
		break;
	case TMK_REC_LOST:
		tmk_store_run(m->store, TMK_SQL_lost, a, (int64_t)r->address, b);
		break;
	case TMK_REC_OOM_MESSAGE:
		tmk_store_run(m->store, TMK_SQL_oom_message, a,
		              (int64_t)r->head.thread);
		break;
	case TMK_REC_DEVICE: {
		struct tmk_device_id id = {.type = (int8_t)r->id,
		                           .index = (int8_t)r->extra};
		struct tmk_device_state *d = tmk_model_device(m, id);
		tmk_store_run(m->store, TMK_SQL_device, (int64_t)(d - m->device),
		              d->name, "cuda",
		              r->address ? (int64_t)r->address : TMK_NULL,
		              *a ? a : NULL);
		break;
	}
	default:
		tmk_names_text(m->names, r);
	}
}

void tmk_model_apply(struct tmk_model *m, const struct tmk_record *r, int64_t ns)
{
	if (ns < m->last_ns)
		ns = m->last_ns; /* two cores, one calibration: never backwards */
	m->last_ns = ns;
	switch (r->kind) {
	case TMK_REC_ALLOC:
	case TMK_REC_FREE:
		event(m, (const struct tmk_rec_event *)r, ns);
		break;
	case TMK_REC_BOUNDARY:
		tmk_model_boundary(m, (const struct tmk_rec_boundary *)r);
		break;
	case TMK_REC_SEGMENT:
		tmk_model_segment(m, (const struct tmk_rec_segment *)r, ns);
		break;
	case TMK_REC_OOM:
		oom(m, (const struct tmk_rec_oom *)r, ns);
		break;
	case TMK_REC_POINTER:
		tmk_model_pointer(m, (const struct tmk_rec_pointer *)r);
		break;
	case TMK_REC_TENSOR:
		tmk_model_named(m, (const struct tmk_rec_tensor *)r);
		break;
	case TMK_REC_THREAD: {
		const struct tmk_rec_thread *t = (const struct tmk_rec_thread *)r;
		tmk_store_run(m->store, TMK_SQL_thread, (int64_t)r->thread,
		              (int64_t)t->tid, t->name);
		break;
	}
	case TMK_REC_PYFRAME:
		tmk_names_pyframe(m->names, (const struct tmk_rec_pyframe *)r);
		break;
	case TMK_REC_PYSTACK:
	case TMK_REC_CSTACK:
		tmk_names_stack(m->names, (const struct tmk_rec_stack *)r);
		break;
	case TMK_REC_SHAPE:
		tmk_names_shape(m->names, (const struct tmk_rec_shape *)r);
		break;
	case TMK_REC_END: {
		const struct tmk_rec_end *e = (const struct tmk_rec_end *)r;
		m->ended = true;
		m->exit_status = e->status;
		m->exit_known = e->known;
		break;
	}
	default:
		text(m, (const struct tmk_rec_text *)r);
	}
}

void tmk_model_free(struct tmk_model *m)
{
	tmk_live_free(&m->live);
	tmk_patterns_free(m->patterns);
	tmk_names_free(m->names);
	free(m->ev);
	free(m->carried);
	free(m->backward_at);
	free(m->oom_at);
	free(m->loop);
	free(m->unwritten.key);
	free(m->candidates.key);
	free(m);
}
