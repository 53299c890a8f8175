/* thin.c - a trace stays below TIDEMARK_MAX_SIZE however long and varied the run: raw
 * steps that are not the first, a peak, unlike their neighbours, or the image of folded
 * ones lose their rows and keep their rollups. Called from: step.c, now and then. */
#include "model.h"

#include <stdlib.h>

#include "settings.h"
#include "store_queries.h"

struct raw {
	int64_t step, first, last, peak;
};

struct raws {
	struct raw *raw;
	uint32_t count, capacity;
	uint64_t missed; /* for want of memory: they stay as they are */
};

static void collect(struct tmk_row *row, void *context)
{
	struct raws *r = context;
	if (!tmk_grow((void **)&r->raw, &r->capacity, r->count, sizeof(*r->raw))) {
		r->missed++;
		return;
	}
	r->raw[r->count++] = (struct raw){tmk_row_int(row, 0), tmk_row_int(row, 1),
	                                  tmk_row_int(row, 2), tmk_row_int(row, 3)};
}

static bool is_peak(const struct tmk_model *m, int64_t step)
{
	for (int i = 0; i < m->devices; i++)
		if (m->device[i].run_peak_step == step)
			return true;
	return false;
}

/* Its peak stands out of both neighbours by a twentieth: that step is a finding. */
static bool stands_out(const struct raws *r, uint32_t i)
{
	if (!i || i + 1 == r->count)
		return true;
	int64_t p = r->raw[i].peak, a = r->raw[i - 1].peak, b = r->raw[i + 1].peak;
	return p > (a > b ? a : b) / 20 * 21;
}

static void thin_step(struct tmk_model *m, const struct raw *r)
{
	tmk_store_run(m->store, TMK_SQL_thin_rows, r->first, r->last, r->step);
	tmk_store_run(m->store, TMK_SQL_thin_span, r->step);
	tmk_store_run(m->store, TMK_SQL_thin_step, r->step);
	m->lost[TMK_LOST_THINNED]++;
}

void tmk_model_thin(struct tmk_model *m)
{
	uint64_t limit = tmk_settings.max_size / 10 * 9;
	if (++m->since_size_check < 32)
		return;
	m->since_size_check = 0;
	if (m->thin_only || tmk_store_size(m->store) < limit)
		return;
	struct raws r = {0};
	tmk_store_read(m->store, sql_thinnable, collect, &r);
	for (uint32_t i = 0; i < r.count; i++)
		if (!is_peak(m, r.raw[i].step) && !stands_out(&r, i))
			thin_step(m, &r.raw[i]);
	m->lost[TMK_LOST_MEMORY_OTHER] += r.missed;
	free(r.raw);
	/* Nothing more to gain: from here on new raw steps are rollups at birth, unless
	 * they hold a new peak. */
	m->thin_only = tmk_store_size(m->store) >= limit;
}
