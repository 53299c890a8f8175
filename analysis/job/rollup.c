/* rollup.c - what an answer about a job needs of one rank's trace.
 * Called from: job.c, workers.c. */
#include "rollup.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "doubt.h"
#include "growth.h"
#include "heap.h"
#include "losses.h"
#include "oom_answer.h"
#include "side.h"
#include "text.h"

enum { PARTS = 160, STEPS = 256 }; /* at most in a rollup */

/* Who gives a job its name, the innermost launcher first. What torchrun calls "none" is none. */
static const struct {
	const char *key, *called, *beside;
} givers[] = {
        {"job.simulate", "simulate", NULL},
        {"job.torchrun", "torchrun", NULL},
        {"job.slurm", "Slurm", "job.slurm_step"},
        {"job.mpi", "MPI", NULL},
        {"job.openmpi", "MPI", NULL},
        {"job.pmi", "MPI", NULL},
        {"job.pbs", "PBS", NULL},
        {"job.lsf", "LSF", NULL},
        {"job.ray", "Ray", NULL},
        {"job.master", "ranks met at", NULL},
        {"run_id", "tidemark run", NULL},
};

static char *meta(struct trace *trace, const char *key)
{
	return rows_first_text(
	        db_rows(trace->db, "SELECT value FROM meta WHERE key = ?1", "t", key));
}

static char *job_of(struct trace *trace)
{
	char *text = NULL;

	for (size_t i = 0; i < sizeof(givers) / sizeof(*givers) && !text; i++) {
		char *value = meta(trace, givers[i].key);
		char *step = value && givers[i].beside ? meta(trace, givers[i].beside)
		                                       : NULL;
		if (value && *value && strcmp(value, "none") != 0)
			text = format_text("%s %s%s%s", givers[i].called, value,
			                   step ? "." : "", step ? step : "");
		free(value);
		free(step);
	}
	return text;
}

static void read_run(struct trace *trace, struct rollup *rollup)
{
	struct rows *rows =
	        db_rows(trace->db,
	                "SELECT host, command, torch_version, rank, world_size, pid, "
	                "started_unix_ns, coalesce(ended_ns, (SELECT max(end_ns) FROM "
	                "step), 0), "
	                "exit_status, simulated FROM run",
	                "");
	int64_t *number = rollup->number;

	if (!rows_next(rows))
		return;
	rollup->text[OF_HOST] = rows_copy(rows, 0);
	rollup->text[OF_COMMAND] = rows_copy(rows, 1);
	rollup->text[OF_TORCH] = rows_copy(rows, 2);
	number[OF_RANK] = rows_number_or(rows, 3, -1);
	number[OF_WORLD] = rows_number_or(rows, 4, -1);
	number[OF_PID] = rows_number_or(rows, 5, -1);
	number[OF_STARTED] = rows_number(rows, 6);
	number[OF_ENDED] = rows_number(rows, 6) + rows_number(rows, 7);
	number[OF_STATUS] = rows_number_or(rows, 8, -1);
	number[OF_SIMULATED] = rows_number(rows, 9);
	rows_free(rows);
	number[OF_RUNNING] = trace->running;
	number[OF_STEPS] = trace_complete_steps(trace);
	number[OF_LOST] = losses_count(trace).events;
	number[OF_RESTART] = db_number(trace->db, 0,
	                               "SELECT CAST(value AS INTEGER) FROM meta WHERE "
	                               "key = 'job.restart'");
	rollup->text[OF_JOB] = job_of(trace);
	rollup->text[OF_DOUBT] = doubt_of(trace);
}

static void read_groups(struct trace *trace, struct rollup *rollup)
{
	struct rows *rows = db_rows(
	        trace->db,
	        "SELECT json_extract(value, '$.what'), json_extract(value, '$.ranks') "
	        "FROM meta WHERE key GLOB 'group.*' AND json_valid(value) ORDER BY key",
	        "");
	while (rows_next(rows)) {
		rollup->groups = grow(rollup->groups, rollup->group_count,
		                      &rollup->group_room, sizeof(*rollup->groups));
		rollup->groups[rollup->group_count++] = (struct process_group){
		        .what = rows_copy(rows, 0), .ranks = rows_copy(rows, 1)};
	}
}

/* The refusal that ended the run, on whatever device. */
static void read_oom(struct trace *trace, struct rollup *rollup)
{
	int64_t *number = rollup->number;

	if (!db_number(trace->db, 0, "SELECT count(*) FROM oom"))
		return;
	for (size_t d = 0; d < trace->device_count; d++) {
		struct places places;
		size_t count;
		struct oom *ooms;
		places_load(trace, trace->devices[d].name, &places);
		ooms = ooms_load(trace, &places, &trace->devices[d], -1, &count);
		for (size_t i = 0; i < count; i++) {
			const struct oom *oom = &ooms[i];
			if (!oom->fatal || rollup->text[OF_OOM_PHASE])
				continue;
			rollup->text[OF_OOM_PHASE] =
			        copy_text(trace_phase(trace, oom->moment.phase));
			rollup->text[OF_OOM_LINE] = line_text(&oom->line);
			rollup->text[OF_OOM_VERDICT] = verdict_text(oom);
			number[OF_OOM_STEP] = oom->moment.step.id;
			number[OF_OOM_REQUESTED] = oom->requested;
			number[OF_OOM_ALLOCATED] = oom->moment.allocated;
			number[OF_OOM_TIME] = number[OF_STARTED] + oom->moment.time_ns;
		}
		ooms_free(ooms, count);
		places_free(&places);
	}
}

/* ---- what was alive at the peak ----------------------------------------------------------- */

/* The first number of a dotted name: which layer it is; -1. */
static int64_t layer_of(const char *place)
{
	for (const char *at = place; at && *at;
	     at += strcspn(at, "."), at += *at == '.') {
		size_t digits = strspn(at, "0123456789");
		if (digits && digits < 9 && (!at[digits] || at[digits] == '.'))
			return atoll(at);
	}
	return -1;
}

struct piled {
	struct part part;
	int64_t layer;
};

static int text_order(const char *a, const char *b)
{
	return a == b ? 0 : !a ? -1 : !b ? 1 : strcmp(a, b);
}

static int by_place(const void *left, const void *right)
{
	const struct piled *a = left, *b = right;
	int way = text_order(a->part.bucket, b->part.bucket);

	if (!way)
		way = text_order(a->part.place, b->part.place);
	if (!way)
		way = text_order(a->part.line, b->part.line);
	return way ? way : (a->layer > b->layer) - (a->layer < b->layer);
}

static bool same_place(const struct piled *a, const struct piled *b)
{
	return !text_order(a->part.bucket, b->part.bucket) &&
	       !text_order(a->part.place, b->part.place) &&
	       !text_order(a->part.line, b->part.line);
}

static int by_bytes(const void *left, const void *right)
{
	const struct part *a = left, *b = right;
	if (a->bytes != b->bytes)
		return a->bytes < b->bytes ? 1 : -1;
	return text_order(a->place, b->place);
}

/* "0-11, 14", from numbers in order. */
static char *numbers_text(const struct piled *list, size_t count)
{
	char *text = copy_text("");

	for (size_t i = 0; i < count;) {
		size_t to = i + 1;
		char *longer;
		while (to < count && list[to].layer <= list[to - 1].layer + 1)
			to++;
		longer = list[to - 1].layer > list[i].layer
		                 ? format_text("%s%s%lld-%lld", text, *text ? ", " : "",
		                               (long long)list[i].layer,
		                               (long long)list[to - 1].layer)
		                 : format_text("%s%s%lld", text, *text ? ", " : "",
		                               (long long)list[i].layer);
		free(text);
		text = longer;
		i = to;
	}
	return text;
}

static void put_part(struct rollup *rollup, const struct piled *list, size_t count)
{
	struct part part = {.bucket = copy_text(list->part.bucket),
	                    .place = copy_text(list->part.place),
	                    .line = copy_text(list->part.line),
	                    .layers = list->layer >= 0 ? numbers_text(list, count)
	                                               : NULL};

	for (size_t i = 0; i < count; i++) {
		part.bytes += list[i].part.bytes;
		part.blocks += list[i].part.blocks;
	}
	rollup->parts = grow(rollup->parts, rollup->part_count, &rollup->part_room,
	                     sizeof(*rollup->parts));
	rollup->parts[rollup->part_count++] = part;
}

static void part_free(struct part *part)
{
	free(part->bucket);
	free(part->place);
	free(part->layers);
	free(part->line);
}

static void pile(const struct things *things, struct rollup *rollup)
{
	struct piled *list = allocate((things->count + 1) * sizeof(*list));

	for (size_t i = 0; i < things->count; i++) {
		const struct thing *thing = &things->list[i];
		list[i].part.bucket = (char *)thing->bucket;
		list[i].part.place =
		        (char *)(thing->pattern ? thing->pattern : thing->op);
		list[i].part.line = thing->file ? format_text("%s:%lld", thing->file,
		                                              (long long)thing->line)
		                                : NULL;
		list[i].part.bytes = thing->bytes;
		list[i].part.blocks = thing->blocks;
		list[i].layer = layer_of(thing->place);
	}
	if (things->count)
		qsort(list, things->count, sizeof(*list), by_place);
	for (size_t i = 0, to; i < things->count; i = to) {
		for (to = i + 1; to < things->count && same_place(&list[i], &list[to]);
		     to++)
			;
		put_part(rollup, &list[i], to - i);
	}
	for (size_t i = 0; i < things->count; i++)
		free(list[i].part.line);
	free(list);
	if (rollup->part_count)
		qsort(rollup->parts, rollup->part_count, sizeof(*rollup->parts),
		      by_bytes);
	for (; rollup->part_count > PARTS; rollup->part_count--)
		part_free(&rollup->parts[rollup->part_count - 1]);
}

/* Of what a step was given, the largest tensor's first dimension. */
static int64_t batch_of(const struct things *things)
{
	for (size_t i = 0; i < things->count; i++) {
		const struct thing *thing = &things->list[i];
		if (!strcmp(thing->bucket, "input") && thing->shape &&
		    strchr(thing->shape, ','))
			return atoll(thing->shape + 1);
	}
	return -1;
}

static void read_alive(struct trace *trace, const struct device *device,
                       const struct point *point, struct rollup *rollup)
{
	struct step step = trace_step(trace, point->step);
	struct side side;
	struct things things;

	side_load(trace, device, &side);
	side_alive(&side, &step, point->ordinal, point->allocated, &things);
	rollup->number[OF_UNSEEN] = things.bytes;
	for (int i = 0; i < BUCKETS; i++) {
		int64_t bytes = 0;
		for (size_t k = 0; trace->buckets[i] && k < things.count; k++)
			if (!strcmp(things.list[k].bucket, trace->buckets[i]))
				bytes += things.list[k].bytes;
		rollup->number[OF_BUCKET + i] = bytes;
		rollup->number[OF_UNSEEN] -= bytes;
	}
	rollup->number[OF_BATCH] = batch_of(&things);
	pile(&things, rollup);
	free(things.list);
	side_free(&side);
}

/* ---- over the steps ----------------------------------------------------------------------- */

/* Bins have a power of two of steps, so that those of other ranks can be put together. */
static void read_steps(struct trace *trace, const struct device *device,
                       struct rollup *rollup)
{
	int64_t last = db_number(trace->db, 0, "SELECT max(id) FROM step"), bin = 1;
	struct rows *rows;

	while (last / bin >= STEPS)
		bin *= 2;
	rollup->number[OF_BIN] = bin;
	rollup->step_count = (size_t)(last / bin) + 1;
	rollup->steps = allocate(rollup->step_count * sizeof(*rollup->steps));
	rows = db_rows(trace->db,
	               "SELECT step, peak_allocated FROM step_device WHERE device = ?1",
	               "i", device->id);
	while (rows_next(rows)) {
		int64_t at = rows_number(rows, 0) / bin, bytes = rows_number(rows, 1);
		if (at >= 0 && at < (int64_t)rollup->step_count &&
		    bytes > rollup->steps[at])
			rollup->steps[at] = bytes;
	}
}

static void read_growth(struct trace *trace, const struct device *device,
                        struct rollup *rollup)
{
	struct places places;
	struct growth growth;
	const struct site *site;

	places_load(trace, device->name, &places);
	growth_load(trace, &places, device, -1, &growth);
	rollup->number[OF_LEAK_RATE] = growth.count       ? growth_rate(&growth)
	                               : growth.too_short ? -1
	                                                  : 0;
	rollup->number[OF_LEAK_KEPT] = growth.bytes;
	rollup->number[OF_LEAK_FROM] = growth.from;
	site = growth.count ? places_site(&places, growth.list[0].site) : NULL;
	if (site)
		rollup->text[OF_LEAK_LINE] = line_chain(trace, site->stack, 3);
	growth_free(&growth);
	places_free(&places);
}

static const struct device *chosen(struct trace *trace, const struct rollup_wish *wish,
                                   struct point *point)
{
	size_t first = 0, count = trace->device_count;
	/* Memory on the CPU is told where there is no other, or where it is asked for. */
	size_t others = 0;

	while (others < count && strcmp(trace->devices[others].name, "cpu") != 0)
		others++;
	if (wish->device) {
		while (first < count &&
		       strcmp(trace->devices[first].name, wish->device) != 0)
			first++;
		count = first < count ? first + 1 : first;
	} else if (others) {
		count = others;
	}
	return trace_highest(trace, trace->devices + first, count - first, wish->step,
	                     point);
}

void rollup_make(struct trace *trace, const struct rollup_wish *wish,
                 struct rollup *rollup)
{
	struct point point;
	const struct device *device;

	for (int i = 0; i < ROLLUP_NUMBERS; i++)
		rollup->number[i] = -1;
	read_run(trace, rollup);
	read_groups(trace, rollup);
	read_oom(trace, rollup);
	device = chosen(trace, wish, &point);
	if (!device)
		return;
	rollup->text[OF_DEVICE] = copy_text(device->name);
	rollup->text[OF_PRODUCT] = copy_text(device->product);
	rollup->text[OF_PHASE] = copy_text(trace_phase(trace, point.phase));
	rollup->number[OF_TOTAL] = device->total_bytes;
	rollup->number[OF_ALLOCATED] = point.allocated;
	rollup->number[OF_RESERVED] = rows_first(
	        db_rows(trace->db,
	                "SELECT max(peak_reserved) FROM step_device WHERE device = ?1 "
	                "AND ?2 IN (-1, step)",
	                "ii", device->id, wish->step),
	        -1);
	rollup->number[OF_STEP] = point.step;
	read_alive(trace, device, &point, rollup);
	read_steps(trace, device, rollup);
	if (wish->growth)
		read_growth(trace, device, rollup);
}

void rollup_free(struct rollup *rollup)
{
	for (int i = 0; i < ROLLUP_TEXTS; i++)
		free(rollup->text[i]);
	for (size_t i = 0; i < rollup->part_count; i++)
		part_free(&rollup->parts[i]);
	for (size_t i = 0; i < rollup->group_count; i++) {
		free(rollup->groups[i].what);
		free(rollup->groups[i].ranks);
	}
	free(rollup->parts);
	free(rollup->groups);
	free(rollup->steps);
	free(rollup->path);
	free(rollup->why);
}
