/* evidence.c - what torch and Python say about live allocations, and what their survival
 * says: collected here, judged in classify.c. Called from: model.c, step.c, save.c. */
#include "model.h"

#include <string.h>

struct tmk_live *tmk_model_unwritten(struct tmk_model *m, uint32_t i)
{
	struct tmk_live *l = tmk_live_find(&m->live, m->unwritten.key[i].device,
	                                   m->unwritten.key[i].ptr);
	return l && l->unwritten ? l : NULL;
}

static void add_key(struct tmk_model *m, struct tmk_keys *k, const struct tmk_live *l)
{
	if (tmk_grow((void **)&k->key, &k->capacity, k->count, sizeof(*k->key)))
		k->key[k->count++] = (struct tmk_key){l->ptr, l->device};
	else
		m->lost[TMK_LOST_MEMORY]++;
}

void tmk_model_add_unwritten(struct tmk_model *m, struct tmk_live *l)
{
	l->unwritten = 1;
	add_key(m, &m->unwritten, l);
}

void tmk_model_add_candidate(struct tmk_model *m, struct tmk_live *l)
{
	add_key(m, &m->candidates, l);
}

void tmk_model_pointer(struct tmk_model *m, const struct tmk_rec_pointer *r)
{
	struct tmk_live *l = tmk_live_around(&m->live, r->ptr);
	if (!l)
		return;
	if (r->head.code == TMK_POINTER_GRADIENT) {
		if (!(l->evidence & TMK_EV_CANDIDATE))
			add_key(m, &m->candidates, l);
		l->evidence |= TMK_EV_CANDIDATE;
		return;
	}
	/* A reentrant checkpoint makes leaves of detached inputs inside the backward:
	 * made in this step and not in setup, so not a parameter. */
	if (l->born_step == m->step && m->setup_over && !m->forward_unsure)
		return;
	/* ... and where a step ends with the next forward, its batch is the step's before. */
	if (l->phase == TMK_DATA && l->born_step + 1 >= m->step &&
	    tmk_model_goes_by_forward(m, r->head.thread))
		return;
	l->evidence |= TMK_EV_LEAF;
	tmk_model_add_gradient(m, l->requested < 0 ? l->bytes : l->requested, false);
	m->weights_known = true;
	if (l->row || l->born_step != m->step)
		tmk_model_reclassify(m, l);
}

void tmk_model_named(struct tmk_model *m, const struct tmk_rec_tensor *r)
{
	static const char *const kinds[] = {"parameter", "buffer", "gradient",
	                                    "optimizer"};
	const char *name = r->text, *shape = name + strlen(name) + 1;
	const char *dtype = shape + strlen(shape) + 1;
	if (r->head.code >= TMK_TENSOR_KINDS)
		return;
	m->python_named |= r->head.code == TMK_TENSOR_PARAMETER;
	if (r->head.code == TMK_TENSOR_PARAMETER && r->trainable) {
		tmk_model_add_gradient(m, r->bytes, true);
		m->weights_known = true;
	}
	struct tmk_device_state *d = tmk_model_device(m, r->device);
	tmk_store_run(m->store, TMK_SQL_tensor, kinds[r->head.code], name, d->name,
	              (int64_t)r->ptr, r->bytes, shape, dtype, (int64_t)r->trainable,
	              (int64_t)m->step, (int64_t)m->flushed + m->events);
	struct tmk_live *l =
	        tmk_live_around_on(&m->live, (uint8_t)(d - m->device), r->ptr);
	if (!l)
		return;
	l->named = 1 + r->head.code;
	if (l->row || l->born_step != m->step)
		tmk_model_reclassify(m, l);
}

void tmk_model_mark_alive(struct tmk_model *m, uint32_t from, int phase,
                          uint8_t evidence)
{
	for (uint32_t i = from; i < m->events; i++) {
		const struct tmk_ev *e = &m->ev[i];
		if (e->bytes < 0 || e->died || e->phase != phase)
			continue;
		struct tmk_live *l = tmk_live_find(&m->live, e->device, e->ptr);
		if (l && l->born_step == m->step && l->born == m->flushed + i)
			l->evidence |= evidence;
	}
}

/* The backward has returned: what it gave to AccumulateGrad and is still there is a
 * gradient; what was freed was a temporary. */
void tmk_model_judge_candidates(struct tmk_model *m)
{
	for (uint32_t i = 0; i < m->candidates.count; i++) {
		const struct tmk_key *k = &m->candidates.key[i];
		struct tmk_live *l = tmk_live_find(&m->live, k->device, k->ptr);
		if (!l || !(l->evidence & TMK_EV_CANDIDATE))
			continue;
		l->evidence =
		        (uint8_t)((l->evidence & ~TMK_EV_CANDIDATE) | TMK_EV_GRADIENT);
		tmk_model_add_gradient(m, l->requested < 0 ? l->bytes : l->requested,
		                       false);
		if (l->row)
			tmk_model_reclassify(m, l);
	}
	m->candidates.count = 0;
}
