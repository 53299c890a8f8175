/* device.c - one device of a trace as the page draws it.
 *
 * Steps of one shape share their blocks, as in the trace. A step adds what it holds from start
 * to end, by bucket: the blocks that live through a whole step (schema.sql, part A).
 * Called from: page.c. */
#include "device.h"

#include <stdlib.h>

#include "heap.h"
#include "page_queries.h"
#include "shape.h"

enum { LEVELS = 9, RESERVED = 20000 };

struct entry { /* a step */
	int64_t id, pattern, start_ns, end_ns, events;
	int64_t allocated, peak, reserved, peak_ns, phase, ordinal; /* of the device */
	bool complete, thinned, used;
};

struct telling {
	struct trace *trace;
	const struct device *device;
	struct used used;
	struct entry *steps;
	size_t count, room;
	int64_t last; /* the highest step */
	struct pack pack;
	struct share *shares; /* by step, of patterns */
	size_t *followers;    /* by step: how many steps have this pattern */
	/* What the page says it left out. */
	int64_t blocks, blocks_left, smallest, instants_left, thinned_shapes, shapes;
	int64_t long_left, shortened;
};

static void read_steps(struct telling *telling)
{
	struct rows *rows =
	        db_rows(telling->trace->db, sql_all_steps, "i", telling->device->id);

	while (rows_next(rows)) {
		telling->steps = grow(telling->steps, telling->count, &telling->room,
		                      sizeof(*telling->steps));
		telling->steps[telling->count++] =
		        (struct entry){.id = rows_number(rows, 0),
		                       .pattern = rows_number(rows, 1),
		                       .start_ns = rows_number(rows, 2),
		                       .end_ns = rows_number(rows, 3),
		                       .complete = rows_number(rows, 4),
		                       .thinned = rows_number(rows, 5),
		                       .used = !rows_null(rows, 6),
		                       .allocated = rows_number(rows, 6),
		                       .peak = rows_number(rows, 7),
		                       .reserved = rows_number(rows, 8),
		                       .peak_ns = rows_number(rows, 9),
		                       .phase = rows_number(rows, 10),
		                       .ordinal = rows_number_or(rows, 11, -1),
		                       .events = rows_number(rows, 12)};
		telling->last = telling->steps[telling->count - 1].id;
	}
}

static void pack_steps(struct telling *telling)
{
	struct pack *pack = &telling->pack;
	struct entry before = {0};

	pack_number(pack, telling->count);
	for (size_t i = 0; i < telling->count; i++) {
		const struct entry *step = &telling->steps[i];
		pack_signed(pack, step->id - before.id);
		pack_signed(pack, step->id - step->pattern);
		pack_signed(pack, step->start_ns - before.end_ns);
		pack_signed(pack, step->end_ns - step->start_ns);
		pack_number(pack, (uint64_t)(step->complete | step->thinned << 1 |
		                             step->used << 2));
		pack_signed(pack, step->events - before.events);
		pack_signed(pack, step->allocated - before.allocated);
		pack_signed(pack, step->peak - before.peak);
		pack_signed(pack, step->reserved - before.reserved);
		pack_signed(pack, step->peak_ns - step->start_ns);
		pack_number(pack, (uint64_t)step->phase);
		pack_signed(pack, step->ordinal);
		before = *step;
	}
}

static void pack_long(struct telling *telling, size_t most)
{
	struct pack rows_of = {0};
	int64_t before = 0;
	size_t kept = 0;
	struct rows *rows =
	        db_rows(telling->trace->db, sql_long_rows, "i", telling->device->id);

	while (rows_next(rows)) {
		struct block block = {.born_step = rows_number(rows, 0),
		                      .born = rows_number(rows, 1),
		                      .died_step = rows_number_or(rows, 2, -1),
		                      .died = rows_number_or(rows, 3, -1),
		                      .bytes = rows_number(rows, 4),
		                      .address = rows_number(rows, 7)};
		int64_t bucket = rows_number(rows, 5);
		bool named = kept < most;
		kept++;
		pack_signed(&rows_of, block.born_step - before);
		pack_signed(&rows_of, block.born);
		pack_number(&rows_of,
		            block.died_step < 0
		                    ? 0
		                    : (uint64_t)(block.died_step - block.born_step));
		pack_number(&rows_of, (uint64_t)block.bytes);
		pack_number(&rows_of, (uint64_t)bucket);
		pack_number(&rows_of,
		            named ? used_site(&telling->used, rows_number(rows, 6))
		                  : 0);
		pack_number(&rows_of,
		            named ? used_owner(&telling->used, &block, bucket) : 0);
		before = block.born_step;
	}
	pack_number(&telling->pack, kept);
	pack_append(&telling->pack, &rows_of);
	pack_free(&rows_of);
	telling->blocks += (int64_t)kept;
	telling->long_left = kept > most ? (int64_t)(kept - most) : 0;
}

/* Of each stretch of samples the one with the most reserved. */
static void pack_reserved(struct telling *telling)
{
	struct pack rows_of = {0};
	int64_t total =
	        rows_first(db_rows(telling->trace->db,
	                           "SELECT count(*) FROM memory_sample "
	                           "WHERE device = ?1 AND reserved_bytes NOTNULL",
	                           "i", telling->device->id),
	                   0);
	int64_t stretch = total / RESERVED + 1, seen = 0, count = 0;
	int64_t best[3] = {0, -1, -1}, before[3] = {0};
	struct rows *rows = db_rows(telling->trace->db, sql_reserved_over_time, "i",
	                            telling->device->id);

	while (rows_next(rows)) {
		int64_t reserved = rows_number(rows, 1);
		if (reserved > best[1]) {
			best[0] = rows_number(rows, 0);
			best[1] = reserved;
			best[2] = rows_number_or(rows, 2, -1);
		}
		if (++seen % stretch && seen < total)
			continue;
		for (int k = 0; k < 3; k++)
			pack_signed(&rows_of, best[k] - before[k]), before[k] = best[k];
		best[1] = -1;
		count++;
	}
	pack_number(&telling->pack, (uint64_t)count);
	pack_append(&telling->pack, &rows_of);
	pack_free(&rows_of);
}

static void pack_spans(struct telling *telling, int64_t step, int64_t start_ns)
{
	struct pack rows_of = {0};
	uint64_t count = 0;
	struct rows *rows = db_rows(telling->trace->db, sql_shape_spans, "i", step);

	while (rows_next(rows)) {
		pack_number(&rows_of, (uint64_t)rows_number(rows, 0));
		pack_signed(&rows_of, rows_number(rows, 1) - start_ns);
		pack_signed(&rows_of, rows_number(rows, 2));
		count++;
	}
	pack_number(&telling->pack, count);
	pack_append(&telling->pack, &rows_of);
	pack_free(&rows_of);
}

static void pack_shape(struct telling *telling, const struct step *step)
{
	struct shape shape;
	struct thinned thinned;

	shape_load(telling->trace, telling->device->id, step, &shape);
	pack_number(&telling->pack, (uint64_t)step->id);
	pack_spans(telling, step->id, step->start_ns);
	shape_pack(&shape, &telling->shares[step->id], &telling->used, &telling->pack,
	           &thinned);
	telling->blocks += (int64_t)shape.count - thinned.blocks;
	telling->blocks_left += thinned.blocks;
	telling->instants_left += thinned.instants;
	telling->thinned_shapes += thinned.blocks > 0;
	telling->shapes++;
	if (thinned.smallest > telling->smallest)
		telling->smallest = thinned.smallest;
	shape_free(&shape);
}

static void pack_shapes(struct telling *telling)
{
	size_t shapes = 0;

	for (size_t i = 0; i < telling->count; i++) {
		const struct entry *step = &telling->steps[i];
		shapes += step->pattern == step->id && !step->thinned;
	}
	pack_number(&telling->pack, shapes);
	for (size_t i = 0; i < telling->count; i++) {
		const struct entry *entry = &telling->steps[i];
		if (entry->pattern != entry->id || entry->thinned)
			continue;
		struct step step = trace_step(telling->trace, entry->id);
		pack_shape(telling, &step);
	}
}

/* Gives a shape what is left of the room for blocks, up to most. */
static void give(struct telling *telling, int64_t step, size_t events, size_t *left,
                 size_t most)
{
	if (step < 0 || step > telling->last || telling->shares[step].blocks)
		return;
	if (most > *left)
		most = *left;
	/* An event in two is a birth, about; blocks that came in are few. */
	telling->shares[step].blocks = events < most ? events : most;
	*left -= telling->shares[step].blocks;
}

static const struct entry *entry_of(const struct telling *telling, int64_t id)
{
	for (size_t i = 0; i < telling->count; i++)
		if (telling->steps[i].id == id)
			return &telling->steps[i];
	return NULL;
}

/* First the step of the peak and those in which memory ran out, then the others, those that
 * speak for most steps first; one that does not fit whole is told by its curve. */
static void share_out(struct telling *telling, size_t blocks, size_t samples)
{
	size_t shapes = 1, left = blocks;
	struct point point;
	struct rows *rows;

	for (size_t i = 0; i < telling->count; i++) {
		const struct entry *step = &telling->steps[i];
		shapes += step->pattern == step->id;
		if (step->pattern >= 0 && step->pattern <= telling->last)
			telling->followers[step->pattern]++;
	}
	for (int64_t i = 0; i <= telling->last; i++)
		telling->shares[i].samples = samples / shapes;
	if (trace_peak(telling->trace, telling->device->id, -1, &point)) {
		const struct entry *step = entry_of(telling, point.step);
		if (step)
			give(telling, step->pattern, (size_t)step->events, &left,
			     blocks / 2);
	}
	rows = db_rows(telling->trace->db, sql_refused_in, "i", telling->device->id);
	while (rows_next(rows)) {
		const struct entry *step = entry_of(telling, rows_number(rows, 0));
		if (step)
			give(telling, step->pattern, (size_t)step->events, &left,
			     left / 2);
	}
	for (int shared = 1; shared >= 0; shared--)
		for (size_t i = telling->count; i--;) {
			const struct entry *step = &telling->steps[i];
			if (step->pattern == step->id && (size_t)step->events <= left &&
			    (telling->followers[step->id] > 1) == shared)
				give(telling, step->id, (size_t)step->events, &left,
				     left);
		}
}

static void tell_thinned(const struct telling *telling, struct json *json)
{
	json_object(json, "thinned");
	json_number(json, "blocks", telling->blocks);
	json_number(json, "blocks_left_out", telling->blocks_left);
	json_number(json, "smallest_bytes", telling->smallest);
	json_number(json, "instants_left_out", telling->instants_left);
	json_number(json, "shapes", telling->shapes);
	json_number(json, "shapes_thinned", telling->thinned_shapes);
	json_number(json, "names_left_out", telling->long_left);
	json_end(json);
}

bool device_json(struct trace *trace, const struct device *device, struct json *json)
{
	struct telling telling = {.trace = trace, .device = device};
	size_t devices = trace->device_count ? trace->device_count : 1;
	struct places places;
	char *bytes;

	places_load(trace, device->name, &places);
	used_begin(&places, &telling.used);
	read_steps(&telling);
	telling.shares = allocate((size_t)(telling.last + 2) * sizeof(struct share));
	telling.followers = allocate((size_t)(telling.last + 2) * sizeof(size_t));
	share_out(&telling, PAGE_BLOCKS / devices, PAGE_SAMPLES / devices);
	pack_steps(&telling);
	pack_reserved(&telling);
	pack_long(&telling, PAGE_BLOCKS / devices);
	pack_shapes(&telling);
	json_object(json, NULL);
	json_text(json, "device", device->name);
	json_text(json, "product", device->product);
	json_known(json, "total_bytes", device->total_bytes);
	tell_thinned(&telling, json);
	used_json(trace, &telling.used, json);
	json_array(json, "phases");
	for (int i = 0; i < PHASES && trace->phases[i]; i++)
		json_text(json, NULL, trace->phases[i]);
	json_end(json);
	json_array(json, "buckets");
	for (int i = 0; i < LEVELS; i++)
		json_text(json, NULL, trace_bucket(trace, i));
	json_end(json);
	bytes = pack_base64(&telling.pack);
	json_text(json, "bytes", bytes);
	free(bytes);
	json_end(json);
	pack_free(&telling.pack);
	used_free(&telling.used);
	places_free(&places);
	free(telling.steps);
	free(telling.shares);
	free(telling.followers);
	return telling.blocks_left > 0;
}
