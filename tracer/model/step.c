/* step.c - a step ends: peaks, folding, rows.
 * Called from: model.c (boundaries), writer.c and recover.c (the end). Owns nothing. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fold.h"
#include "settings.h"

static void decide_event(struct tmk_model *m, uint32_t i)
{
	struct tmk_ev *e = &m->ev[i];
	if (e->phase >= TMK_PHASES)
		e->phase = TMK_OTHER;
	if (e->bytes < 0)
		return;
	struct tmk_site site = {e->phase,  e->thread, e->python, e->native,
	                        e->module, e->op,     e->shape,  e->scope};
	e->site = tmk_names_site(m->names, &site);
	m->lost[TMK_LOST_MEMORY] += !e->site; /* no view finds a block without one */
	tmk_model_classify(m, e, m->flushed + i);
}

/* The event by which it was born, NULL where that is no longer in ev. */
static struct tmk_ev *birth_of(struct tmk_model *m, const struct tmk_live *l)
{
	return l && l->born_step == m->step && l->born >= m->flushed
	               ? &m->ev[l->born - m->flushed]
	               : NULL;
}

/* Births learn what was seen of those that are alive. */
static void take_evidence(struct tmk_model *m)
{
	for (uint32_t i = 0; i < m->unwritten.count; i++) {
		const struct tmk_live *l = tmk_model_unwritten(m, i);
		struct tmk_ev *e = birth_of(m, l);
		if (!e)
			continue;
		e->evidence = l->evidence;
		e->named = l->named;
	}
}

/* ... and these, what was decided of their births. */
static void give_buckets(struct tmk_model *m)
{
	for (uint32_t i = 0; i < m->unwritten.count; i++) {
		struct tmk_live *l = tmk_model_unwritten(m, i);
		const struct tmk_ev *e = birth_of(m, l);
		if (!e)
			continue;
		l->site = e->site;
		l->bucket = e->bucket;
		l->rule = e->rule;
		l->phase = e->phase;
		if (e->phase == TMK_SETUP &&
		    tmk_names_flags(m->names, e->python, e->native) & TMK_IN_ZEROS)
			l->evidence |= TMK_EV_ZEROED;
	}
}

static void measure(struct tmk_model *m, uint32_t i)
{
	const struct tmk_ev *e = &m->ev[i];
	struct tmk_device_state *d = &m->device[e->device];
	struct tmk_phase_state *p = &d->phase[e->phase];
	if (!d->active) {
		d->active = true;
		d->peak = d->start_allocated;
		d->peak_ordinal = -1;
		d->peak_ns = m->step_start_ns;
		d->peak_phase = e->phase;
	}
	if (e->allocated > d->peak) {
		d->peak = e->allocated;
		d->peak_ordinal = (int64_t)m->flushed + i;
		d->peak_ns = e->ns;
		d->peak_phase = e->phase;
	}
	if (e->reserved > d->peak_reserved)
		d->peak_reserved = e->reserved;
	/* the phase began with what was there before its event */
	int64_t most = e->bytes > 0 ? e->allocated : e->allocated - e->bytes;
	if (most > p->peak || !p->events)
		p->peak = most;
	p->events++;
}

static int64_t insert(struct tmk_model *m, const struct tmk_live *l, int64_t died_step,
                      const struct tmk_ev *death, int64_t died)
{
	const int64_t column[TMK_ALLOCATION_COLUMNS] = {
	        l->device,
	        l->site,
	        l->bucket,
	        l->rule,
	        l->bytes,
	        l->requested < 0 ? TMK_NULL : l->requested,
	        (int64_t)l->ptr,
	        l->born_step,
	        l->born,
	        l->born_ns,
	        died_step,
	        death ? died : TMK_NULL,
	        death ? death->ns - l->born_ns : TMK_NULL,
	        death ? (int64_t)death->phase : TMK_NULL};
	return tmk_store_allocation(m->store, column);
}

/* Rows of what died here but was born before: new where the birth was folded away. */
static void write_carried(struct tmk_model *m, bool folded)
{
	for (uint32_t i = 0; i < m->events; i++) {
		const struct tmk_ev *e = &m->ev[i];
		if (e->bytes > 0 || !e->carried)
			continue;
		const struct tmk_live *l = &m->carried[e->target];
		int64_t ordinal = (int64_t)m->flushed + i;
		if (l->row)
			tmk_store_run(m->store, TMK_SQL_died, (int64_t)m->step, ordinal,
			              e->ns, (int64_t)e->phase, l->row);
		else if (!folded)
			insert(m, l, m->step, e, ordinal);
	}
}

/* What lives on through this whole step must have a row (schema.sql, case A). */
static void write_survivors(struct tmk_model *m)
{
	for (uint32_t i = 0; i < m->unwritten.count; i++) {
		struct tmk_live *l = tmk_model_unwritten(m, i);
		if (l && !l->row && l->born_step < m->step)
			l->row = insert(m, l, TMK_NULL, NULL, 0);
	}
}

static void write_births(struct tmk_model *m, bool crossing_only)
{
	for (uint32_t i = 0; i < m->events; i++) {
		const struct tmk_ev *e = &m->ev[i];
		if (e->bytes < 0 || (crossing_only && e->died))
			continue;
		struct tmk_live l = {.ptr = e->ptr,
		                     .bytes = e->bytes,
		                     .requested = e->requested,
		                     .born_ns = e->ns,
		                     .born_step = m->step,
		                     .born = m->flushed + i,
		                     .site = e->site,
		                     .device = e->device,
		                     .bucket = e->bucket,
		                     .rule = e->rule};
		const struct tmk_ev *death =
		        e->died ? &m->ev[e->died - 1 - m->flushed] : NULL;
		int64_t row = insert(m, &l, death ? (int64_t)m->step : TMK_NULL, death,
		                     (int64_t)e->died - 1);
		if (!m->first_row)
			m->first_row = row;
		struct tmk_live *alive =
		        death ? NULL : tmk_live_find(&m->live, e->device, e->ptr);
		if (alive && alive->born_step == m->step &&
		    alive->born == m->flushed + i)
			alive->row = row;
	}
}

static void write_spans(struct tmk_model *m)
{
	for (uint32_t i = 0; i < m->events; i++) {
		const struct tmk_ev *e = &m->ev[i];
		/* Frees come late, from whoever let go last: births say what is going on. */
		if (e->bytes < 0 || (m->spans && e->phase == m->last_phase))
			continue;
		m->last_phase = e->phase;
		tmk_store_run(m->store, TMK_SQL_span, (int64_t)m->step,
		              (int64_t)m->spans++, (int64_t)e->phase, e->ns,
		              (int64_t)m->flushed + i);
	}
}

static void write_devices(struct tmk_model *m, bool rollups)
{
	for (int i = 0; i < m->devices; i++) {
		struct tmk_device_state *d = &m->device[i];
		if (!d->active)
			continue;
		if (d->peak > d->run_peak) {
			d->run_peak = d->peak;
			d->run_peak_step = m->step;
		}
		tmk_store_run(m->store, TMK_SQL_step_device, (int64_t)m->step,
		              (int64_t)i, d->start_allocated, d->allocated, d->peak,
		              d->peak_reserved, d->peak_ordinal, d->peak_ns,
		              (int64_t)d->peak_phase);
		for (int p = 0; rollups && p < TMK_PHASES; p++)
			if (d->phase[p].events)
				tmk_store_run(m->store, TMK_SQL_step_phase,
				              (int64_t)m->step, (int64_t)i, (int64_t)p,
				              d->phase[p].peak,
				              (int64_t)d->phase[p].events);
	}
}

static bool new_peak(const struct tmk_model *m)
{
	for (int i = 0; i < m->devices; i++)
		if (m->device[i].active && m->device[i].peak > m->device[i].run_peak)
			return true;
	return false;
}

/* Every event of the step gets its phase, site and bucket. */
static void decide(struct tmk_model *m)
{
	tmk_model_label_rest(m);
	take_evidence(m);
	if (!m->flushed)
		tmk_most_begin(m);
	for (uint32_t i = 0; i < m->events; i++) {
		decide_event(m, i);
		measure(m, i);
		tmk_most_event(m, &m->ev[i]);
	}
	give_buckets(m);
}

/* What has a row is found by its evidence when it dies. */
static void forget_written(struct tmk_model *m)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < m->unwritten.count; i++) {
		struct tmk_live *l = tmk_model_unwritten(m, i);
		if (!l)
			continue;
		l->unwritten = 0; /* an address may stand here twice: it is kept once */
		if (!l->row)
			m->unwritten.key[kept++] = m->unwritten.key[i];
	}
	m->unwritten.count = kept;
	for (uint32_t i = 0; i < kept; i++)
		tmk_live_find(&m->live, m->unwritten.key[i].device,
		              m->unwritten.key[i].ptr)
		        ->unwritten = 1;
}

static void next_step(struct tmk_model *m)
{
	forget_written(m);
	for (int i = 0; i < m->devices; i++) {
		struct tmk_device_state *d = &m->device[i];
		d->start_allocated = d->allocated;
		d->peak_reserved = d->reserved;
		d->active = false;
		memset(d->phase, 0, sizeof(d->phase));
	}
	m->step++;
	m->step_start_ns = m->last_ns;
	m->events = m->flushed = m->carried_count = 0;
	m->backward_count = m->oom_count = m->micro_steps = m->spans = 0;
	m->first_row = 0;
	m->backward_since_step = false;
}

bool tmk_model_is_long(const struct tmk_model *m)
{
	/* Setup is never folded; a step far longer than any other is an inference loop or
	 * an evaluation, and must not fill the memory. */
	enum { USUAL = 1 << 17, MOST = 1 << 21 };
	uint32_t limit = m->longest > USUAL / 4 ? m->longest * 4 : USUAL;
	return m->events && (!m->setup_over || m->events > limit || m->events > MOST);
}

void tmk_model_flush(struct tmk_model *m)
{
	decide(m);
	write_carried(m, false);
	write_survivors(m);
	write_spans(m);
	write_births(m, m->thin_only && !new_peak(m));
	forget_written(m);
	m->flushed += m->events;
	m->events = m->carried_count = 0;
}

/* What is made between steps and named by nobody counts as input. A batch comes and goes; when
 * more stays than ever did, Python may know a name for it (a copy of the model, a new one). */
static void watch_unnamed(struct tmk_model *m)
{
	enum { LEAST_PART = 64 }; /* of all that is allocated */
	int64_t unnamed = 0, all = 0;
	for (int i = 0; i < m->devices; i++) {
		unnamed += m->device[i].held[TMK_BUCKET_INPUT];
		all += m->device[i].allocated;
	}
	if (unnamed - m->unnamed <= all / LEAST_PART)
		return;
	m->unnamed_grew = m->step > 1; /* what setup left has been looked for */
	m->unnamed = unnamed;
}

void tmk_model_end_step(struct tmk_model *m, bool complete)
{
	tmk_model_review_setup(m); /* before the buckets are summed up */
	decide(m);
	int64_t same_as = -1;
	const int64_t(*begin)[TMK_BUCKETS] = NULL;
	uint64_t *signature = NULL;
	uint32_t events = m->events;
	if (complete && !m->flushed && events)
		signature = tmk_fold_signature(m);
	if (signature)
		same_as = tmk_fold_find(m, signature, &begin);
	bool folded = same_as >= 0;
	bool thin = !folded && m->thin_only && !new_peak(m);
	write_carried(m, folded);
	write_survivors(m);
	if (!folded) {
		if (!thin)
			write_spans(m);
		write_births(m, thin);
	}
	int64_t last = m->first_row ? tmk_store_last_allocation(m->store) : 0;
	if (!folded && m->flushed)
		last = INT64_MAX; /* other steps' rows may lie between: born_step tells */
	m->lost[TMK_LOST_THINNED] += thin;
	tmk_store_run(m->store, TMK_SQL_step, (int64_t)m->step,
	              folded ? same_as : TMK_NULL, m->step_start_ns, m->last_ns,
	              (int64_t)m->flushed + events, (int64_t)m->micro_steps,
	              (int64_t)complete, m->first_row ? m->first_row : TMK_NULL,
	              m->first_row ? last : TMK_NULL, (int64_t)thin);
	write_devices(m, !folded);
	if (signature && !folded && !thin)
		tmk_fold_keep(m, signature);
	else
		free(signature);
	if (folded)
		tmk_most_write_folded(m, begin);
	else
		tmk_most_write(m);
	watch_unnamed(m);
	if (complete && events > m->longest)
		m->longest = events;
	tmk_model_thin(m);
	m->complete += complete;
	next_step(m);
}

/* A trace that ends in the middle of the run (killed, stopped; NULL: it goes on) may end between a total and the
 * report of a thread that was kept waiting: only what differed for longer is a mismatch. */
static bool still_differs(const struct tmk_model *m, const struct tmk_device_state *d,
                          const char *ended)
{
	bool whole = ended && !strcmp(ended, "exit");

	return tmk_model_drifts(d) &&
	       (whole || m->last_ns - d->drift_ns > TMK_KEPT_WAITING_NS);
}

void tmk_model_finish(struct tmk_model *m, const char *ended)
{
	/* What follows the last step is one of its own, even if it is empty: what is
	 * alive at the end gets its rows by it. */
	if (tmk_model_last_is_over(m)) {
		tmk_model_end_step(m, true);
		m->by_forward++;
	}
	tmk_model_end_step(m, false);
	tmk_model_say_by_forward(m);
	for (int i = 0; i < m->devices; i++)
		m->lost[TMK_LOST_MISMATCH] += still_differs(m, &m->device[i], ended);
	static const struct {
		const char *name, *what;
	} lost[] = {
	        [TMK_LOST_RING_FULL] = {"ring_full",
	                                "events dropped because a ring stayed full"},
	        [TMK_LOST_RING_FULL_OTHER] = {"ring_full_other",
	                                      "names, stacks and ends of phases "
	                                      "dropped because a ring stayed full"},
	        [TMK_LOST_GAP] = {"gap", "events numbered but never seen"},
	        [TMK_LOST_UNMATCHED] =
	                {"unmatched_free",
	                 "frees of memory whose allocation was not seen"},
	        [TMK_LOST_TWICE] = {"missed_free",
	                            "addresses handed out again without a free"},
	        [TMK_LOST_MISMATCH] =
	                {"mismatch",
	                 "events at which our sum differed from the allocator's total"},
	        [TMK_LOST_BEFORE] = {"before_tracing",
	                             "devices that held memory before the first event"},
	        [TMK_LOST_THINNED] = {"thinned_steps",
	                              "steps kept as rollups only (TIDEMARK_MAX_SIZE)"},
	        [TMK_LOST_MEMORY] = {"out_of_memory",
	                             "events the writer had no memory for"},
	        [TMK_LOST_MEMORY_OTHER] =
	                {"out_of_memory_other",
	                 "names, stacks and boundaries the writer had no memory for"},
	};
	for (int i = 0; i < TMK_LOST_CODES; i++)
		tmk_store_run(m->store, TMK_SQL_lost, lost[i].name, (int64_t)m->lost[i],
		              lost[i].what);
	tmk_store_run(m->store, TMK_SQL_meta_number, "events",
	              (int64_t)m->total_events);
	tmk_store_run(m->store, TMK_SQL_ended, m->last_ns, ended,
	              m->exit_known ? (int64_t)m->exit_status : TMK_NULL);
	tmk_store_run(m->store, TMK_SQL_all_carry_clear);
	tmk_store_run(m->store, TMK_SQL_spill_clear);
	tmk_store_run(m->store, TMK_SQL_recover_clear);
}
