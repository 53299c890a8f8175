/* build.c - a trace made event by event, as schema.sql says: its steps, peaks, samples.
 *
 * The recorder makes traces of a running program (tracer/); this makes one of what is known
 * already. Both go by schema.sql, which is part of this command, and no step is folded here.
 * Called from: import.c. */
#include "build.h"

#include <stdlib.h>
#include <string.h>

#include "build_private.h"
#include "heap.h"
#include "map.h"

__asm__(".section .rodata\n"
        "schema_sql: .incbin \"" TIDEMARK_SCHEMA_FILE "\"\n"
        ".byte 0\n"
        ".previous\n");
extern const char schema_sql[];

static const char *const statements[STATEMENTS] = {
        [FRAME] = "INSERT INTO frame VALUES (?, ?, ?, ?, ?, NULL)",
        [STACK] = "INSERT INTO stack VALUES (?, ?, ?)",
        [SITE] = "INSERT INTO site (id, phase, python_stack, native_stack) VALUES (?, "
                 "?, ?, ?)",
        [DEVICE] = "INSERT INTO device (id, name, kind) VALUES (?, ?, 'cuda')",
        [BLOCK] = "INSERT INTO allocation (id, device, site, bucket, rule, bytes, "
                  "requested, "
                  "address, born_step, born, born_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, "
                  "?, ?, ?)",
        [FREED] = "UPDATE allocation SET died_step = ?, died = ?, lived_ns = ? - "
                  "born_ns, "
                  "died_phase = ? WHERE id = ?",
        [SEGMENT] =
                "INSERT INTO segment (id, device, kind, host, address, mapped, bytes, "
                "born_step, born, born_ns) VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?, ?)",
        [GIVEN] =
                "UPDATE segment SET died_step = ?, died = ?, died_ns = ? WHERE id = ?",
        [SAMPLE] = "INSERT INTO memory_sample (device, step, ordinal, time_ns, "
                   "allocated_bytes, reserved_bytes) VALUES (?, ?, ?, ?, ?, ?)",
        [REFUSED] =
                "INSERT INTO oom (device, step, ordinal, time_ns, site, source, "
                "requested_bytes, allocated_bytes, reserved_bytes, device_free_bytes) "
                "VALUES (?, ?, ?, ?, ?, 'allocator', ?, ?, ?, ?)",
        [STEP] = "INSERT INTO step VALUES (?, NULL, ?, ?, ?, 0, ?, ?, ?, 0)",
        [STEP_DEVICE] = "INSERT INTO step_device VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [STEP_PHASE] = "INSERT INTO step_phase VALUES (?, ?, ?, ?, ?)",
        [STEP_BUCKET] = "INSERT INTO step_bucket VALUES (?, ?, ?, ?, ?)",
        [SPAN] = "INSERT INTO span VALUES (?, ?, ?, ?, ?)",
};

struct build *build_new(const char *name, const char *path)
{
	struct build *build = allocate(sizeof(*build));

	build->db = db_make(name, path, schema_sql);
	for (int i = 0; i < STATEMENTS; i++)
		build->put[i] = db_statement(build->db, statements[i]);
	db_define(build->db, "INSERT INTO rule VALUES (1, 'category', 'program', 'what "
	                     "the snapshot itself "
	                     "calls it'), (2, 'not_known', 'weak', 'a snapshot does "
	                     "not say what memory is "
	                     "for')");
	build->phase = PHASE_OTHER;
	build->first_block = 1;
	rows_put(build->put[SPAN], "iiiii", (int64_t)0, build->spans++, build->phase,
	         (int64_t)0, (int64_t)0);
	return build;
}

void build_frame(struct build *build, bool native, const char *function,
                 const char *file, int64_t line)
{
	rows_put(build->put[FRAME], "ittti", ++build->frames,
	         native ? "native" : "python", function, file, line);
}

void build_stack(struct build *build, int64_t parent, int64_t frame)
{
	rows_put(build->put[STACK], "ini", ++build->stacks, parent ? parent : INT64_MIN,
	         frame);
}

int64_t build_frames(const struct build *build)
{
	return build->frames;
}

int64_t build_stacks(const struct build *build)
{
	return build->stacks;
}

int64_t build_blocks(const struct build *build)
{
	return build->blocks;
}

static int64_t site(struct build *build, const struct born *born)
{
	int64_t id, key = born->native_stack * 16 + build->phase;

	if (map_find(&build->sites, born->python_stack, key, &id))
		return id;
	id = ++build->site_count;
	map_put(&build->sites, born->python_stack, key, id);
	rows_put(build->put[SITE], "iinn", id, build->phase,
	         born->python_stack ? born->python_stack : INT64_MIN,
	         born->native_stack ? born->native_stack : INT64_MIN);
	return id;
}

static struct gauge *gauge(struct build *build, int32_t device)
{
	struct gauge *gauge = &build->gauges[device];
	char *name;

	if (gauge->known)
		return gauge;
	gauge->known = true;
	gauge->peak_at = -1;
	gauge->peak_ns = build->step_ns;
	gauge->peak_phase = build->phase;
	name = format_text("cuda:%d", device);
	rows_put(build->put[DEVICE], "it", (int64_t)device + 1, name);
	free(name);
	return gauge;
}

/* After an event of a device, the figures of its step. */
static void measure(struct build *build, struct gauge *gauge, int64_t was,
                    int64_t time_ns)
{
	int64_t phase = build->phase;

	if (gauge->allocated > gauge->peak) {
		gauge->peak = gauge->allocated;
		gauge->peak_at = build->ordinal;
		gauge->peak_ns = time_ns;
		gauge->peak_phase = phase;
	}
	if (!gauge->events[phase])
		memcpy(gauge->most[phase], gauge->buckets, sizeof(gauge->buckets));
	gauge->events[phase]++;
	gauge->high[phase] = was > gauge->high[phase] ? was : gauge->high[phase];
	if (gauge->allocated > gauge->high[phase])
		gauge->high[phase] = gauge->allocated;
	for (int b = 0; b < BUILD_BUCKETS; b++)
		if (gauge->buckets[b] > gauge->most[phase][b])
			gauge->most[phase][b] = gauge->buckets[b];
}

void build_block(struct build *build, const struct born *born)
{
	struct gauge *at = gauge(build, born->device);
	int64_t was = at->allocated, place = site(build, born);
	int64_t bucket = born->bucket >= 0 ? born->bucket : BUILD_UNKNOWN;
	bool known = born->bucket >= 0;

	build->unknown += !known;
	build->held = grow(build->held, (size_t)build->blocks, &build->held_room,
	                   sizeof(*build->held));
	build->held[build->blocks++] =
	        (struct held){born->bytes, born->device, (int8_t)bucket, true};
	rows_put(build->put[BLOCK], "iiiiiiniiii", build->blocks,
	         (int64_t)born->device + 1, place, bucket, (int64_t)(known ? 1 : 2),
	         born->bytes, born->requested >= 0 ? born->requested : INT64_MIN,
	         born->address, build->step, build->ordinal, born->time_ns);
	at->allocated += born->bytes;
	at->buckets[bucket] += born->bytes;
	measure(build, at, was, born->time_ns);
	build->ordinal++;
	build->latest_ns = born->time_ns;
}

bool build_freed(struct build *build, int64_t block, int64_t time_ns)
{
	struct held *held =
	        block > 0 && block <= build->blocks ? &build->held[block - 1] : NULL;
	struct gauge *at;
	int64_t was;

	if (!held || !held->alive)
		return false;
	held->alive = false;
	at = gauge(build, held->device);
	was = at->allocated;
	rows_put(build->put[FREED], "iiiii", build->step, build->ordinal, time_ns,
	         build->phase, block);
	at->allocated -= held->bytes;
	at->buckets[held->bucket] -= held->bytes;
	measure(build, at, was, time_ns);
	build->ordinal++;
	build->latest_ns = time_ns;
	return true;
}

static void sample(struct build *build, int32_t device, int64_t time_ns)
{
	struct gauge *at = &build->gauges[device];

	at->peak_reserved =
	        at->reserved > at->peak_reserved ? at->reserved : at->peak_reserved;
	rows_put(build->put[SAMPLE], "iiiiii", (int64_t)device + 1, build->step,
	         build->ordinal, time_ns, at->allocated, at->reserved);
	build->latest_ns = time_ns;
}

void build_segment(struct build *build, const struct born *born, bool piece)
{
	struct gauge *at = gauge(build, born->device);

	build->areas = grow(build->areas, (size_t)build->segments, &build->area_room,
	                    sizeof(*build->areas));
	build->areas[build->segments++] =
	        (struct held){born->bytes, born->device, 0, true};
	rows_put(build->put[SEGMENT], "iitiniiii", build->segments,
	         (int64_t)born->device + 1, piece ? "cuMemCreate" : "cudaMalloc",
	         born->address, piece ? born->address : INT64_MIN, born->bytes,
	         build->step, build->ordinal, born->time_ns);
	at->reserved += born->bytes;
	sample(build, born->device, born->time_ns);
}

bool build_given(struct build *build, int64_t segment, int64_t time_ns)
{
	struct held *held = segment > 0 && segment <= build->segments
	                            ? &build->areas[segment - 1]
	                            : NULL;

	if (!held || !held->alive)
		return false;
	held->alive = false;
	rows_put(build->put[GIVEN], "iiii", build->step, build->ordinal, time_ns,
	         segment);
	build->gauges[held->device].reserved -= held->bytes;
	sample(build, held->device, time_ns);
	return true;
}

void build_refused(struct build *build, const struct born *born, int64_t device_free)
{
	struct gauge *at = gauge(build, born->device);
	int64_t place = site(build, born);

	rows_put(build->put[REFUSED], "iiiiiiiin", (int64_t)born->device + 1,
	         build->step, build->ordinal, born->time_ns, place, born->bytes,
	         at->allocated, at->reserved,
	         device_free >= 0 ? device_free : INT64_MIN);
	build->latest_ns = born->time_ns;
}

void build_phase(struct build *build, int64_t phase, int64_t time_ns)
{
	if (phase == build->phase)
		return;
	build->phase = phase;
	build->stepped = build->stepped || phase == PHASE_OPTIMIZER;
	rows_put(build->put[SPAN], "iiiii", build->step, build->spans++, phase, time_ns,
	         build->ordinal);
}
