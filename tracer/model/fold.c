/* fold.c - the last few distinct steps, to recognise a repetition. Equality is that of
 * every event's 64-bit signature: not of one hash over the step.
 * Called from: step.c. Owns: the signatures. */
#include "fold.h"

#include <stdlib.h>
#include <string.h>

#include "intern.h"
#include "model.h"

/* Steps alternate (two models, evaluation every n-th, bucketed lengths); a loop of more
 * different steps than this writes them again, which costs space and nothing else. */
enum { KEPT = 48 };

struct pattern {
	uint64_t *signature;
	uint32_t events, step;
	uint64_t used; /* when last */
	int devices;
	int64_t held[TMK_MAX_DEVICES][TMK_BUCKETS];
	struct {
		int64_t rise, ordinal; /* of the peak above the step's start */
		bool active;
	} device[TMK_MAX_DEVICES];
};

struct tmk_patterns {
	struct pattern kept[KEPT];
	uint64_t clock;
};

/* ---- signatures ---------------------------------------------------------------------- */

static uint64_t signature_of(const struct tmk_model *m, const struct tmk_ev *e,
                             const uint32_t *place)
{
	uint64_t h = tmk_mix((uint64_t)e->bytes, (uint64_t)e->device << 8 | e->phase);
	h = tmk_mix(h, e->thread);
	if (e->bytes > 0)
		return tmk_mix(h, (uint64_t)e->site << 16 | (uint64_t)e->bucket << 8 |
		                          e->rule);
	if (e->target == UINT32_MAX)
		return tmk_mix(h, e->target);
	if (!e->carried)
		return tmk_mix(h, (uint64_t)m->ev[e->target].thread << 40 |
		                          place[e->target]);
	/* Born before: which of several alike does not matter for any byte. */
	const struct tmk_live *l = &m->carried[e->target];
	uint32_t age = m->step - l->born_step;
	return tmk_mix(h, (uint64_t)2 << 60 | (uint64_t)(age > 2 ? 2 : age) << 32 |
	                          l->site);
}

uint64_t *tmk_fold_signature(const struct tmk_model *m)
{
	uint32_t n = m->events, threads = 0;
	for (uint32_t i = 0; i < n; i++)
		if (m->ev[i].thread >= threads)
			threads = m->ev[i].thread + 1u;
	uint64_t *out = malloc(n * sizeof(*out));
	uint32_t *place =
	        malloc(n * sizeof(*place)); /* of each event within its thread */
	uint32_t *count = calloc(threads + 1, sizeof(*count));
	if (!out || !place || !count) {
		free(out);
		out = NULL;
		goto done;
	}
	for (uint32_t i = 0; i < n; i++)
		place[i] = count[m->ev[i].thread + 1u]++;
	for (uint32_t t = 0; t < threads; t++)
		count[t + 1] += count[t];
	for (uint32_t i = 0; i < n; i++)
		out[count[m->ev[i].thread] + place[i]] =
		        signature_of(m, &m->ev[i], place);
done:
	free(place);
	free(count);
	return out;
}

/* ---- patterns ------------------------------------------------------------------------ */

static bool same_peaks(const struct tmk_model *m, const struct pattern *p)
{
	if (p->devices > m->devices)
		return false;
	for (int i = 0; i < m->devices; i++) {
		const struct tmk_device_state *d = &m->device[i];
		bool active = i < p->devices && p->device[i].active;
		if (active != d->active ||
		    (active && d->peak - d->start_allocated != p->device[i].rise))
			return false;
	}
	return true;
}

int64_t tmk_fold_find(struct tmk_model *m, const uint64_t *signature,
                      const int64_t (**begin)[TMK_BUCKETS])
{
	for (int i = 0; m->patterns && i < KEPT; i++) {
		struct pattern *p = &m->patterns->kept[i];
		if (!p->used || p->events != m->events || !same_peaks(m, p) ||
		    memcmp(p->signature, signature, m->events * sizeof(*signature)))
			continue;
		p->used = ++m->patterns->clock;
		*begin = (const int64_t(*)[TMK_BUCKETS])p->held;
		for (int d = 0; d < p->devices; d++)
			m->device[d].peak_ordinal = p->device[d].ordinal;
		return p->step;
	}
	return -1;
}

void tmk_fold_keep(struct tmk_model *m, uint64_t *signature)
{
	if (!m->patterns)
		m->patterns = calloc(1, sizeof(*m->patterns));
	if (!m->patterns) {
		free(signature);
		return;
	}
	struct pattern *p = &m->patterns->kept[0];
	for (int i = 1; i < KEPT; i++)
		if (m->patterns->kept[i].used < p->used)
			p = &m->patterns->kept[i];
	free(p->signature);
	*p = (struct pattern){.signature = signature,
	                      .events = m->events,
	                      .step = m->step,
	                      .used = ++m->patterns->clock,
	                      .devices = m->devices};
	for (int i = 0; i < m->devices; i++) {
		const struct tmk_device_state *d = &m->device[i];
		p->device[i].active = d->active;
		p->device[i].rise = d->peak - d->start_allocated;
		p->device[i].ordinal = d->peak_ordinal;
		memcpy(p->held[i], d->held, sizeof(p->held[i]));
	}
}

void tmk_patterns_free(struct tmk_patterns *p)
{
	for (int i = 0; p && i < KEPT; i++)
		free(p->kept[i].signature);
	free(p);
}
