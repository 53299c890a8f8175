/* maxima.c - the most that each bucket ever held.
 *
 * In step k a bucket holds what lives through the whole of k, which differs from step to
 * step, and what is born or dies in it, which is the same in all steps of a shape
 * (schema.sql). So each shape is walked once, and each step adds its own level. Of a step
 * without rows the recorder has kept the maxima themselves.
 * Called from: answers/account.c, answers/steps.c, commands/buckets.c. */
#include "maxima.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"

struct most {
	int64_t bytes, phase;
};

struct shape { /* what one pattern does to each bucket */
	struct most of[BUCKETS];
};

struct levels {
	int64_t (*change)[BUCKETS]; /* of what lives through a whole step */
	int64_t last;
};

static bool known(int64_t bucket)
{
	return bucket >= 0 && bucket < BUCKETS;
}

static void read_levels(struct trace *trace, int64_t device, struct levels *levels)
{
	struct rows *rows =
	        db_rows(trace->db,
	                "SELECT bucket, bytes, born_step, died_step FROM allocation "
	                "INDEXED BY allocation_crossing WHERE " SQL_CROSSING
	                " AND device = ?1 AND (died_step IS NULL OR died_step > "
	                "born_step + 1)",
	                "i", device);
	while (rows_next(rows)) {
		int64_t bucket = rows_number(rows, 0), bytes = rows_number(rows, 1);
		int64_t born = rows_number(rows, 2);
		int64_t died = rows_number_or(rows, 3, -1);
		if (!known(bucket) || born < 0 || born >= levels->last)
			continue;
		levels->change[born + 1][bucket] += bytes;
		if (died >= 0 && died <= levels->last)
			levels->change[died][bucket] -= bytes;
	}
}

static void walk_shape(struct trace *trace, int64_t device, const struct step *step,
                       struct shape *shape)
{
	int64_t now[BUCKETS] = {0};
	struct rows *rows = db_rows(
	        trace->db,
	        "SELECT -1 AS ordinal, bytes, bucket, -1 FROM allocation INDEXED BY "
	        "allocation_crossing WHERE " SQL_CROSSING " "
	        "AND born_step < ?3 AND died_step = ?3 AND device = ?4 UNION ALL "
	        "SELECT a.born, a.bytes, a.bucket, s.phase FROM allocation a LEFT JOIN "
	        "site s ON s.id = a.site WHERE a.id BETWEEN ?1 AND ?2 AND a.born_step "
	        "= "
	        "?3 AND a.device = ?4 UNION ALL "
	        "SELECT died, -bytes, bucket, died_phase FROM allocation WHERE id "
	        "BETWEEN "
	        "?1 AND ?2 AND born_step = ?3 AND died_step = ?3 AND device = ?4 UNION "
	        "ALL SELECT died, -bytes, bucket, died_phase FROM allocation INDEXED "
	        "BY "
	        "allocation_crossing WHERE " SQL_CROSSING " "
	        "AND born_step < ?3 AND died_step = ?3 AND device = ?4 ORDER BY "
	        "ordinal",
	        "iiii", step->first, step->last, step->pattern, device);
	*shape = (struct shape){0};
	for (int b = 0; b < BUCKETS; b++)
		shape->of[b].phase = -1;
	while (rows_next(rows)) {
		int64_t bucket = rows_number(rows, 2);
		if (!known(bucket))
			continue;
		now[bucket] += rows_number(rows, 1);
		if (now[bucket] > shape->of[bucket].bytes)
			shape->of[bucket] =
			        (struct most){now[bucket], rows_number_or(rows, 3, 9)};
	}
}

/* A step whose rows were thinned away: the recorder has kept what its buckets held. */
static bool read_kept(struct trace *trace, int64_t device, int64_t step,
                      struct maximum *of)
{
	bool any = false;
	struct rows *rows = db_rows(trace->db,
	                            "SELECT b.id, p.id, v.bytes FROM v_step_bucket v "
	                            "JOIN device d ON d.name = v.device "
	                            "JOIN bucket b ON b.name = v.bucket "
	                            "JOIN phase p ON p.name = v.phase "
	                            "WHERE v.step = ? AND d.id = ? ORDER BY p.id",
	                            "ii", step, device);
	while (rows_next(rows)) {
		struct maximum one = {rows_number(rows, 2), step, rows_number(rows, 1)};
		int64_t bucket = rows_number(rows, 0);
		any = true;
		if (known(bucket) && one.bytes > of[bucket].bytes)
			of[bucket] = one;
	}
	return any;
}

void maxima_each(struct trace *trace, int64_t device, maxima_visit *visit,
                 void *context)
{
	struct levels levels = {
	        .last = db_number(trace->db, 0, "SELECT max(id) FROM step")};
	struct shape *shapes = allocate((size_t)(levels.last + 1) * sizeof(*shapes));
	bool *walked = allocate((size_t)(levels.last + 1) * sizeof(*walked));
	int64_t level[BUCKETS] = {0};

	levels.change = allocate((size_t)(levels.last + 1) * sizeof(*levels.change));
	read_levels(trace, device, &levels);
	struct rows *rows = db_rows(trace->db, "SELECT id FROM step ORDER BY id", "");
	while (rows_next(rows)) {
		struct maximum of[BUCKETS] = {{0}};
		int64_t id = rows_number(rows, 0);
		struct step step = trace_step(trace, id);
		for (int b = 0; b < BUCKETS; b++)
			level[b] += levels.change[id][b];
		if (step.thinned) {
			visit(context, id,
			      read_kept(trace, device, id, of) ? of : NULL);
			continue;
		}
		if (step.pattern < 0 || step.pattern > levels.last)
			continue;
		struct shape *shape = &shapes[step.pattern];
		if (!walked[step.pattern])
			walk_shape(trace, device, &step, shape);
		walked[step.pattern] = true;
		for (int b = 0; b < BUCKETS; b++)
			of[b] = (struct maximum){level[b] + shape->of[b].bytes, id,
			                         shape->of[b].phase};
		visit(context, id, of);
	}
	free(levels.change);
	free(shapes);
	free(walked);
}

const char *maximum_phase(const struct trace *trace, const struct maximum *maximum)
{
	return maximum->phase < 0 ? NULL : trace_phase(trace, maximum->phase);
}

static void take(void *context, int64_t step, const struct maximum *of)
{
	struct maxima *maxima = context;

	(void)step;
	maxima->thinned |= !of;
	for (int b = 0; of && b < BUCKETS; b++)
		if (of[b].bytes > maxima->of[b].bytes)
			maxima->of[b] = of[b];
}

void maxima_load(struct trace *trace, int64_t device, struct maxima *maxima)
{
	*maxima = (struct maxima){0};
	for (int b = 0; b < BUCKETS; b++)
		maxima->of[b] = (struct maximum){0, -1, -1};
	maxima_each(trace, device, take, maxima);
}
