/* save.c - what recovery needs that the tables do not say: allocations that folding kept
 * out of them, and where the model stood when the last step ended.
 * Called from: writer.c before each commit, recover.c by way of tmk_model_new. */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "fold.h"
#include "store_queries.h"

enum {
	CARRY_LIVE = 1,
	CARRY_MODEL = 2,
	CARRY_MOST = 3,
	CARRY_LOOPS = 4,
	CARRY_SIZES = 5
};

struct saved {
	uint32_t layout;
	uint32_t step;
	int64_t step_start_ns, last_ns;
	uint8_t setup_over, forward_unsure, by_marks, thin_only;
	uint32_t devices;
	uint8_t backward_since_step, python_named, last_phase;
	uint8_t optimizer_known, python_looked, weights_known;
	uint32_t complete, by_forward;
	uint16_t last_forward, last_loop;
	uint32_t most_micro;
	uint32_t flushed, micro_steps, spans, longest;
	int64_t first_row;
	uint64_t total_events;
	uint64_t lost[TMK_LOST_CODES];
	struct tmk_device_state device[TMK_MAX_DEVICES];
};

enum {
	LAYOUT = sizeof(struct saved) << 16 | sizeof(struct tmk_loop) << 8 |
	         sizeof(struct tmk_live)
};

/* Rows that are written as they come, and not when their step ends, may be committed
 * before the state that goes with them: recovery meets their records again, and first
 * takes the rows back. */
static void save_last_rows(struct tmk_model *m)
{
	tmk_store_run(m->store, TMK_SQL_last_segment);
	tmk_store_run(m->store, TMK_SQL_last_memory_sample);
	tmk_store_run(m->store, TMK_SQL_last_oom);
	tmk_store_run(m->store, TMK_SQL_last_tensor);
}

static void undo_later_rows(struct tmk_model *m)
{
	tmk_store_run(m->store, TMK_SQL_undo_segment);
	tmk_store_run(m->store, TMK_SQL_undo_memory_sample);
	tmk_store_run(m->store, TMK_SQL_undo_oom);
	tmk_store_run(m->store, TMK_SQL_undo_tensor);
	tmk_store_run(m->store, TMK_SQL_undo_died, (int64_t)m->step, (int64_t)m->step,
	              (int64_t)m->flushed);
}

/* Blocks that have no row yet. Returns how many there was no memory for: all, or none. */
static uint32_t save_live(struct tmk_model *m)
{
	uint32_t n = 0;
	struct tmk_live *out = malloc((m->unwritten.count + 1) * sizeof(*out));
	for (uint32_t i = 0; i < m->unwritten.count; i++) {
		const struct tmk_live *l = tmk_model_unwritten(m, i);
		if (!l || l->row)
			continue;
		if (out)
			out[n] = *l;
		n++;
	}
	if (out && n)
		tmk_store_run(m->store, TMK_SQL_carry, (int64_t)CARRY_LIVE,
		              (const void *)out, (size_t)n * sizeof(*out));
	else
		tmk_store_run(m->store, TMK_SQL_carry_clear, (int64_t)CARRY_LIVE);
	free(out);
	return out ? 0 : n;
}

void tmk_model_save(struct tmk_model *m)
{
	save_last_rows(m);
	uint32_t unsaved = save_live(m);

	struct saved s = {.layout = LAYOUT,
	                  .step = m->step,
	                  .step_start_ns = m->step_start_ns,
	                  .last_ns = m->last_ns,
	                  .setup_over = m->setup_over,
	                  .forward_unsure = m->forward_unsure,
	                  .by_marks = m->by_marks,
	                  .thin_only = m->thin_only,
	                  .devices = (uint32_t)m->devices,
	                  .backward_since_step = m->backward_since_step,
	                  .python_named = m->python_named,
	                  .last_phase = m->last_phase,
	                  .weights_known = m->weights_known,
	                  .complete = m->complete,
	                  .by_forward = m->by_forward,
	                  .optimizer_known = m->optimizer_known,
	                  .python_looked = m->python_looked,
	                  .last_forward = m->last_forward,
	                  .last_loop = m->last_loop,
	                  .most_micro = m->most_micro,
	                  .flushed = m->flushed,
	                  .micro_steps = m->micro_steps,
	                  .spans = m->spans,
	                  .longest = m->longest,
	                  .first_row = m->first_row,
	                  .total_events = m->total_events};
	memcpy(s.lost, m->lost, sizeof(s.lost));
	s.lost[TMK_LOST_MEMORY] +=
	        unsaved; /* lost to who reads this, and not yet to us */
	memcpy(s.device, m->device, sizeof(s.device));
	size_t size = offsetof(struct saved, device) + m->devices * sizeof(*s.device);
	tmk_store_run(m->store, TMK_SQL_carry, (int64_t)CARRY_MODEL, (const void *)&s,
	              size);
	if (m->loops)
		tmk_store_run(m->store, TMK_SQL_carry, (int64_t)CARRY_LOOPS,
		              (const void *)m->loop, m->loops * sizeof(*m->loop));
	if (m->sizes_grew)
		tmk_store_run(m->store, TMK_SQL_carry, (int64_t)CARRY_SIZES,
		              (const void *)&m->sizes, sizeof(m->sizes));
	m->sizes_grew = false;
	/* Of a step that was written in part, how much its buckets have held so far. */
	if (m->flushed)
		tmk_store_run(m->store, TMK_SQL_carry, (int64_t)CARRY_MOST,
		              (const void *)m->most, m->devices * sizeof(*m->most));
	else
		tmk_store_run(m->store, TMK_SQL_carry_clear, (int64_t)CARRY_MOST);
}

/* ---- reading it back: nothing in the file is believed ---------------------------------- */

static bool is_flag(const bool *b)
{
	unsigned char byte;
	memcpy(&byte, b, 1);
	return byte <= 1;
}

static bool is_device(const struct tmk_device_state *d)
{
	return memchr(d->name, 0, sizeof(d->name)) && is_flag(&d->seen) &&
	       is_flag(&d->active) && d->peak_phase < TMK_PHASES;
}

static bool is_loop(const struct tmk_loop *l)
{
	for (const bool *b = &l->trains; b <= &l->given; b++)
		if (!is_flag(b))
			return false;
	return l->way <= TMK_BY_FORWARD;
}

/* Born before what is still to be applied: its events are not in ev. */
static bool is_live(const struct tmk_model *m, const struct tmk_live *l)
{
	return l->device < m->devices && l->bytes >= 0 && l->bucket < TMK_BUCKETS &&
	       l->rule < TMK_RULES && l->phase <= TMK_OPEN_IN_STEP &&
	       l->named <= TMK_TENSOR_KINDS &&
	       (l->born_step < m->step ||
	        (l->born_step == m->step && l->born < m->flushed));
}

static void lose(struct tmk_model *m)
{
	m->lost[TMK_LOST_MEMORY]++;
}

static void reload_most(struct tmk_row *row, void *context)
{
	struct tmk_model *m = context;
	size_t size;
	const void *most = tmk_row_blob(row, 0, &size);
	if (size == m->devices * sizeof(*m->most))
		memcpy(m->most, most, size);
}

static void reload_model(struct tmk_row *row, void *context)
{
	struct tmk_model *m = context;
	size_t size;
	const struct saved *s = tmk_row_blob(row, 0, &size);
	if (size < offsetof(struct saved, device) || s->layout != LAYOUT ||
	    s->devices > TMK_MAX_DEVICES ||
	    size < offsetof(struct saved, device) + s->devices * sizeof(*s->device) ||
	    s->last_phase > TMK_OPEN_IN_STEP)
		return;
	for (uint32_t i = 0; i < s->devices; i++)
		if (!is_device(&s->device[i]))
			return;
	m->step = s->step;
	m->step_start_ns = s->step_start_ns;
	m->last_ns = s->last_ns;
	m->setup_over = s->setup_over;
	m->forward_unsure = s->forward_unsure;
	m->by_marks = s->by_marks;
	m->thin_only = s->thin_only;
	m->devices = (int)s->devices;
	m->backward_since_step = s->backward_since_step;
	m->python_named = s->python_named;
	m->last_phase = s->last_phase;
	m->weights_known = s->weights_known;
	m->complete = s->complete;
	m->by_forward = s->by_forward;
	m->optimizer_known = s->optimizer_known;
	m->python_looked = s->python_looked;
	m->last_forward = s->last_forward;
	m->last_loop = s->last_loop;
	m->most_micro = s->most_micro;
	m->flushed = s->flushed;
	m->micro_steps = s->micro_steps;
	m->spans = s->spans;
	m->longest = s->longest;
	m->first_row = s->first_row;
	m->total_events = s->total_events;
	for (int i = 0; i < TMK_LOST_CODES;
	     i++) /* reading back may have lost some, too */
		m->lost[i] += s->lost[i];
	memcpy(m->device, s->device, s->devices * sizeof(*s->device));
}

static void reload_loops(struct tmk_row *row, void *context)
{
	struct tmk_model *m = context;
	size_t size;
	const struct tmk_loop *l = tmk_row_blob(row, 0, &size);
	size_t n = size / sizeof(*l);
	if (!n || size % sizeof(*l) || n > UINT16_MAX + 16u || m->loop)
		return;
	for (size_t i = 0; i < n; i++)
		if (!is_loop(&l[i]))
			return;
	m->loop = malloc(size);
	if (!m->loop) {
		m->lost[TMK_LOST_MEMORY_OTHER] += n;
		return;
	}
	memcpy(m->loop, l, size);
	m->loops = (uint32_t)n;
}

/* Any bits are a set of sizes. */
static void reload_sizes(struct tmk_row *row, void *context)
{
	struct tmk_model *m = context;
	size_t size;
	const void *sizes = tmk_row_blob(row, 0, &size);
	if (size == sizeof(m->sizes))
		memcpy(&m->sizes, sizes, size);
}

static void reload_carried(struct tmk_row *row, void *context)
{
	struct tmk_model *m = context;
	size_t size;
	const struct tmk_live *l = tmk_row_blob(row, 0, &size);
	for (size_t i = 0; i < size / sizeof(*l); i++) {
		bool existed;
		struct tmk_live *e = is_live(m, &l[i])
		                             ? tmk_live_add(&m->live, l[i].device,
		                                            l[i].ptr, &existed)
		                             : NULL;
		if (!e) {
			lose(m);
			continue;
		}
		uint8_t used = e->used;  /* the table's own, */
		uint32_t next = e->next; /* ... both */
		*e = l[i];
		e->used = used;
		e->next = next;
		e->unwritten = 0;
		tmk_model_add_unwritten(m, e);
		if (e->evidence & TMK_EV_CANDIDATE)
			tmk_model_add_candidate(m, e);
	}
}

static void reload_row(struct tmk_row *row, void *context)
{
	struct tmk_model *m = context;
	bool existed;
	int64_t requested = tmk_row_int(row, 6);
	const struct tmk_live l = {.ptr = (uint64_t)tmk_row_int(row, 7),
	                           .bytes = tmk_row_int(row, 5),
	                           .requested = requested == TMK_NULL ? -1 : requested,
	                           .born_ns = tmk_row_int(row, 10),
	                           .row = tmk_row_int(row, 0),
	                           .born_step = (uint32_t)tmk_row_int(row, 8),
	                           .born = (uint32_t)tmk_row_int(row, 9),
	                           .site = (uint32_t)tmk_row_int(row, 2),
	                           .device = (uint8_t)tmk_row_int(row, 1),
	                           .bucket = (uint8_t)tmk_row_int(row, 3),
	                           .rule = (uint8_t)tmk_row_int(row, 4)};
	struct tmk_live *e = is_live(m, &l)
	                             ? tmk_live_add(&m->live, l.device, l.ptr, &existed)
	                             : NULL;
	if (!e) {
		lose(m);
		return;
	}
	e->row = l.row;
	e->site = l.site;
	e->bucket = l.bucket;
	e->rule = l.rule;
	e->bytes = l.bytes;
	e->requested = l.requested;
	e->born_step = l.born_step;
	e->born = l.born;
	e->born_ns = l.born_ns;
}

void tmk_model_reload(struct tmk_model *m)
{
	tmk_store_read(m->store, "SELECT data FROM carry WHERE id = 2", reload_model,
	               m);
	tmk_store_read(m->store, "SELECT data FROM carry WHERE id = 3", reload_most, m);
	tmk_store_read(m->store, "SELECT data FROM carry WHERE id = 4", reload_loops,
	               m);
	tmk_store_read(m->store, "SELECT data FROM carry WHERE id = 5", reload_sizes,
	               m);
	undo_later_rows(m);
	tmk_store_read(m->store, sql_not_freed, reload_row, m);
	tmk_store_read(m->store, "SELECT data FROM carry WHERE id = 1", reload_carried,
	               m);
}

struct tmk_model *tmk_model_new(struct tmk_store *store, bool recovered)
{
	static const char *const rules[][3] = {
#define RULE(name, bucket, evidence, what) {#name, evidence, what},
#include "rules.def"
#undef RULE
	};
	struct tmk_model *m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->store = store;
	m->names = tmk_names_new(store, recovered, &m->lost[TMK_LOST_MEMORY_OTHER]);
	if (!m->names) {
		free(m);
		return NULL;
	}
	for (size_t i = 0; i < TMK_RULES; i++)
		tmk_store_run(store, TMK_SQL_rule, (int64_t)i, rules[i][0], rules[i][1],
		              rules[i][2]);
	if (recovered)
		tmk_model_reload(m);
	return m;
}
