/* most.c - the most that each bucket held in each phase of a step: rows that outlive the
 * allocations' own when a trace is thinned, and answer without walking them.
 * Called from: step.c when a step ends, classify.c when a block changes its bucket. */
#include "model.h"

#include <string.h>

void tmk_most_begin(struct tmk_model *m)
{
	for (int i = 0; i < m->devices; i++) {
		memset(m->most[i].of, 0, sizeof(m->most[i].of));
		memcpy(m->most[i].now, m->device[i].held, sizeof(m->most[i].now));
		m->most[i].phase = TMK_OPEN;
	}
}

static void raise(struct tmk_most *most, uint8_t phase, int bucket)
{
	if (most->now[bucket] > most->of[phase][bucket])
		most->of[phase][bucket] = most->now[bucket];
}

/* Its bucket, and whether it is one that we can count: not the free of a stranger. */
static bool bucket_of(const struct tmk_model *m, const struct tmk_ev *e,
                      uint8_t *bucket)
{
	if (e->bytes > 0)
		*bucket = e->bucket;
	else if (e->target == UINT32_MAX)
		return false;
	else
		*bucket = e->carried ? m->carried[e->target].bucket
		                     : m->ev[e->target].bucket;
	return true;
}

void tmk_most_event(struct tmk_model *m, const struct tmk_ev *e)
{
	struct tmk_most *most = &m->most[e->device];
	uint8_t bucket;
	/* A phase begins with what was there before its first event. */
	for (int b = 0; e->phase != most->phase && b < TMK_BUCKETS; b++)
		raise(most, e->phase, b);
	most->phase = e->phase;
	if (!bucket_of(m, e, &bucket))
		return;
	most->now[bucket] += e->bytes;
	raise(most, e->phase, bucket);
}

void tmk_most_moved(struct tmk_model *m, const struct tmk_live *l, uint8_t from,
                    uint8_t to)
{
	if (l->born_step < m->step) { /* it was there when the step began */
		m->device[l->device].held[from] -= l->bytes;
		m->device[l->device].held[to] += l->bytes;
	}
	m->most[l->device].now[from] -= l->bytes;
	m->most[l->device].now[to] += l->bytes;
}

enum { AT_BEGIN = -1 }; /* in place of a phase */

static void row(struct tmk_model *m, int device, int phase, int bucket, int64_t bytes)
{
	tmk_store_run(m->store, TMK_SQL_step_bucket, (int64_t)m->step, (int64_t)device,
	              (int64_t)bucket, (int64_t)phase, bytes);
}

void tmk_most_write(struct tmk_model *m)
{
	for (int i = 0; i < m->devices; i++) {
		struct tmk_device_state *d = &m->device[i];
		for (int b = 0; d->active && b < TMK_BUCKETS; b++) {
			if (d->held[b])
				row(m, i, AT_BEGIN, b, d->held[b]);
			for (int p = 0; p < TMK_PHASES; p++)
				if (m->most[i].of[p][b])
					row(m, i, p, b, m->most[i].of[p][b]);
		}
		memcpy(d->held, m->most[i].now, sizeof(d->held));
	}
}

void tmk_most_write_folded(struct tmk_model *m, const int64_t (*pattern)[TMK_BUCKETS])
{
	for (int i = 0; i < m->devices; i++) {
		struct tmk_device_state *d = &m->device[i];
		for (int b = 0; d->active && b < TMK_BUCKETS; b++)
			if (d->held[b] != pattern[i][b])
				row(m, i, AT_BEGIN, b, d->held[b]);
		memcpy(d->held, m->most[i].now, sizeof(d->held));
	}
}
