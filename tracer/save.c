/* save.c - what recovery needs that the tables do not say: allocations that folding kept
 * out of them, and where the model stood when the last step ended.
 * Called from: writer.c before each commit, recover.c by way of tmk_model_new. */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "fold.h"

enum { CARRY_LIVE = 1, CARRY_MODEL = 2, CARRY_MOST = 3, CARRY_LOOPS = 4 };

struct saved {
	uint32_t layout;
	uint32_t step;
	int64_t step_start_ns, last_ns;
	uint8_t setup_over, forward_unsure, by_marks, thin_only;
	uint32_t devices;
	uint8_t backward_since_step, python_named, last_phase, stepped_inside;
	uint8_t way, each, drops, waits, optimizer_known, python_looked;
	uint16_t last_forward, last_loop;
	uint32_t most_micro;
	uint32_t flushed, micro_steps, spans, longest;
	int64_t first_row;
	uint64_t total_events;
	uint64_t lost[TMK_LOST_CODES];
	struct tmk_device_state device[TMK_MAX_DEVICES];
};

enum { LAYOUT = sizeof(struct saved) << 8 | sizeof(struct tmk_live) };

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

void tmk_model_save(struct tmk_model *m)
{
	save_last_rows(m);
	uint32_t n = 0;
	struct tmk_live *out = malloc((m->young.count + 1) * sizeof *out);
	if (!out)
		return;
	for (uint32_t i = 0; i < m->young.count; i++) {
		const struct tmk_live *l = tmk_model_young(m, i);
		if (l && !l->row)
			out[n++] = *l;
	}
	if (n)
		tmk_store_run(m->store, TMK_SQL_carry, (int64_t)CARRY_LIVE,
		              (const void *)out, (size_t)n * sizeof *out);
	else
		tmk_store_run(m->store, TMK_SQL_carry_clear, (int64_t)CARRY_LIVE);
	free(out);

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
	                  .stepped_inside = m->stepped_inside,
	                  .way = m->way,
	                  .each = m->each,
	                  .drops = m->drops,
	                  .waits = m->waits,
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
	memcpy(s.lost, m->lost, sizeof s.lost);
	memcpy(s.device, m->device, sizeof s.device);
	size_t size = offsetof(struct saved, device) + m->devices * sizeof *s.device;
	tmk_store_run(m->store, TMK_SQL_carry, (int64_t)CARRY_MODEL, (const void *)&s,
	              size);
	if (m->loops)
		tmk_store_run(m->store, TMK_SQL_carry, (int64_t)CARRY_LOOPS,
		              (const void *)m->loop, m->loops * sizeof *m->loop);
	/* Of a step that was written in part, how much its buckets have held so far. */
	if (m->flushed)
		tmk_store_run(m->store, TMK_SQL_carry, (int64_t)CARRY_MOST,
		              (const void *)m->most, m->devices * sizeof *m->most);
	else
		tmk_store_run(m->store, TMK_SQL_carry_clear, (int64_t)CARRY_MOST);
}

static void reload_most(struct tmk_row *row, void *context)
{
	struct tmk_model *m = context;
	size_t size;
	const void *most = tmk_row_blob(row, 0, &size);
	if (size == m->devices * sizeof *m->most)
		memcpy(m->most, most, size);
}

static void reload_model(struct tmk_row *row, void *context)
{
	struct tmk_model *m = context;
	size_t size;
	const struct saved *s = tmk_row_blob(row, 0, &size);
	if (size < offsetof(struct saved, device) || s->layout != LAYOUT ||
	    s->devices > TMK_MAX_DEVICES)
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
	m->stepped_inside = s->stepped_inside;
	m->way = s->way;
	m->each = s->each;
	m->drops = s->drops;
	m->waits = s->waits;
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
	memcpy(m->lost, s->lost, sizeof m->lost);
	memcpy(m->device, s->device, s->devices * sizeof *s->device);
}

static void reload_loops(struct tmk_row *row, void *context)
{
	struct tmk_model *m = context;
	size_t size;
	const struct tmk_loop *l = tmk_row_blob(row, 0, &size);
	size_t n = size / sizeof *l;
	if (!n || size % sizeof *l || n > UINT16_MAX + 16u || m->loop)
		return;
	m->loop = malloc(size);
	if (!m->loop)
		return;
	memcpy(m->loop, l, size);
	m->loops = (uint32_t)n;
}

static void reload_carried(struct tmk_row *row, void *context)
{
	struct tmk_model *m = context;
	size_t size;
	const struct tmk_live *l = tmk_row_blob(row, 0, &size);
	for (size_t i = 0; i < size / sizeof *l; i++) {
		bool existed;
		struct tmk_live *e =
		        tmk_live_add(&m->live, l[i].device, l[i].ptr, &existed);
		if (!e)
			continue;
		uint8_t used = e->used; /* the table's own */
		*e = l[i];
		e->used = used;
		tmk_model_add_young(m, e);
	}
}

static void reload_row(struct tmk_row *row, void *context)
{
	struct tmk_model *m = context;
	bool existed;
	struct tmk_live *e = tmk_live_add(&m->live, (uint8_t)tmk_row_int(row, 1),
	                                  (uint64_t)tmk_row_int(row, 7), &existed);
	if (!e)
		return;
	int64_t requested = tmk_row_int(row, 6);
	e->row = tmk_row_int(row, 0);
	e->site = (uint32_t)tmk_row_int(row, 2);
	e->bucket = (uint8_t)tmk_row_int(row, 3);
	e->rule = (uint8_t)tmk_row_int(row, 4);
	e->bytes = tmk_row_int(row, 5);
	e->requested = requested == TMK_NULL ? -1 : requested;
	e->born_step = (uint32_t)tmk_row_int(row, 8);
	e->born = (uint32_t)tmk_row_int(row, 9);
	e->born_ns = tmk_row_int(row, 10);
}

void tmk_model_reload(struct tmk_model *m)
{
	tmk_store_read(m->store, "SELECT data FROM carry WHERE id = 2", reload_model,
	               m);
	tmk_store_read(m->store, "SELECT data FROM carry WHERE id = 3", reload_most, m);
	tmk_store_read(m->store, "SELECT data FROM carry WHERE id = 4", reload_loops,
	               m);
	undo_later_rows(m);
	tmk_store_read(
	        m->store,
	        "SELECT id, device, site, bucket, rule, bytes, requested, address, "
	        "born_step, born, born_ns FROM allocation WHERE died_step IS NULL",
	        reload_row, m);
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
	struct tmk_model *m = calloc(1, sizeof *m);
	if (!m)
		return NULL;
	m->store = store;
	m->names = tmk_names_new(store, recovered);
	for (size_t i = 0; i < TMK_RULES; i++)
		tmk_store_run(store, TMK_SQL_rule, (int64_t)i, rules[i][0], rules[i][1],
		              rules[i][2]);
	if (recovered)
		tmk_model_reload(m);
	return m;
}
