/* oom.c - an allocation that was refused, and why.
 *
 * PyTorch's allocator looks for a free block, asks the device for a segment, gives back
 * every segment without a block and asks again; what we see is the state after that.
 * So one of four things is true, asked in this order:
 *   limit          the device had room for the segment: a fraction or quota refused
 *   outside        somebody else's memory on the device is what lacks
 *   fragmentation  free memory and holes would do, but no piece is large enough
 *   shortage       the step needs more than there is
 * Holes are never zero. They are the reason only if with all of them closed the step
 * could have gone on: a batch that is three times too large dies with a few holes too.
 * Called from: advice/, commands/, compare/, job/, run/. */
#include "oom.h"

#include <stdlib.h>
#include <string.h>

#include "advice_queries.h"
#include "heap.h"

const char *const verdict_names[] = {"shortage", "fragmentation", "outside", "limit"};

/* Would this much more have carried the run on? To the end of the step, as far as an
 * earlier one tells, and further than a leak takes to fill it: a sixteenth of what PyTorch
 * had. Without an earlier step it must be an eighth; a fifth counts in any case. */
static bool would_do(const struct oom *oom, int64_t extra)
{
	int64_t there = oom->free + extra, reserved = oom->moment.reserved;

	if (there < oom->requested)
		return false;
	if (extra >= reserved / 5)
		return true;
	return oom->forecast.step >= 0
	               ? there >= oom->forecast.growth && extra >= reserved / 16
	               : extra >= reserved / 8;
}

static enum verdict judge(const struct oom *oom)
{
	/* PyTorch looked: no hole was large enough, whether or not we know where they are. */
	bool holes = would_do(oom, oom->cached);
	bool others = oom->excess > 0 && would_do(oom, oom->cached + oom->excess);

	/* Expandable segments leave holes of less than a page: only many of them count. */
	if (oom->segments.expandable)
		holes = holes && oom->cached >= oom->moment.reserved / 5;
	if (oom->free >= oom->segment)
		return LIMIT;
	if (others && (!holes || oom->excess > oom->cached))
		return OUTSIDE;
	return holes ? FRAGMENTATION : SHORTAGE;
}

static void measure(struct trace *trace, struct oom *oom)
{
	const struct moment *moment = &oom->moment;

	segments_load(trace, moment, &oom->segments);
	oom->segment = strcmp(oom->source, "cudaMallocAsync")
	                       ? segment_size(oom->requested)
	                       : oom->requested;
	oom->cached = moment->reserved >= 0 ? moment->reserved - moment->allocated : 0;
	oom->hole = segments_hole(&oom->segments, oom->requested);
	if (oom->hole < 0)
		oom->hole = oom->cached;
	oom->free = oom->outside = -1;
	if (moment->used >= 0) {
		oom->free = moment->total - moment->used;
		oom->outside = moment->used - moment->reserved;
		oom->excess = oom->outside - ((int64_t)CONTEXT_MIB << 20);
	} else { /* an imported trace knows what was free, and not the device's size */
		oom->free = rows_first(
		        db_rows(trace->db,
		                "SELECT device_free_bytes FROM oom WHERE id = ?", "i",
		                oom->id),
		        -1);
	}
	oom->processes = processes_named(oom->message);
	oom->fraction = trace_memory_fraction(trace, moment->device);
	oom->verdict = judge(oom);
	/* Under a limit what the device has free does not help. */
	oom->lacking = oom->forecast.growth > oom->segment ? oom->forecast.growth
	                                                   : oom->segment;
	if (oom->verdict == FRAGMENTATION)
		oom->lacking = oom->segment;
	if (oom->verdict != LIMIT && oom->free > 0)
		oom->lacking -= oom->free;
	if (oom->lacking < 1)
		oom->lacking = 1;
}

/* In a backward no Python runs on the device's thread: the line that began it is the
 * newest one that this step has. */
static void find_line(struct trace *trace, struct oom *oom)
{
	struct rows *rows;

	oom->stack = oom->place ? oom->place->stack : -1;
	oom->line = line_of(trace, oom->stack);
	if (oom->line.file)
		return;
	rows = db_rows(trace->db, sql_newest_line, "iiiii", oom->moment.step.first,
	               oom->moment.step.last, oom->moment.step.pattern,
	               oom->moment.ordinal, oom->moment.phase);
	if (rows_next(rows)) {
		oom->stack = rows_number(rows, 0);
		oom->line = line_of(trace, oom->stack);
		oom->line_is_caller = true;
		rows_free(rows);
	}
}

static bool went_on(struct trace *trace, const struct oom *oom)
{
	int64_t later;
	struct rows *rows =
	        db_rows(trace->db, sql_went_on, "iii", oom->moment.device->id,
	                oom->moment.step.id, oom->moment.ordinal);
	rows_next(rows);
	later = rows_number(rows, 0);
	rows_free(rows);
	return later > 0;
}

static void complete(struct trace *trace, const struct places *places, struct oom *oom)
{
	oom->place = places_site(places, oom->site);
	live_at(trace, places, oom->moment.device->id, &oom->moment.step,
	        oom->moment.ordinal, &oom->live);
	oom->forecast =
	        forecast_make(trace, places, &oom->moment, oom->site, oom->requested);
	find_line(trace, oom);
	oom->fatal = !went_on(trace, oom);
	measure(trace, oom);
}

struct oom *ooms_load(struct trace *trace, const struct places *places,
                      const struct device *device, int64_t step, size_t *count)
{
	struct oom *ooms = NULL;
	size_t room = 0;
	struct rows *rows = db_rows(trace->db, sql_ooms, "ii", device->id, step);
	*count = 0;
	while (rows_next(rows)) {
		ooms = grow(ooms, *count, &room, sizeof(*ooms));
		ooms[(*count)++] = (struct oom){
		        .id = rows_number(rows, 0),
		        .requested = rows_number(rows, 1),
		        .source = rows_copy(rows, 2),
		        .message = rows_copy(rows, 3),
		        .site = rows_number_or(rows, 4, -1),
		        .moment = moment_of_oom(trace, device, rows_number(rows, 0))};
	}
	for (size_t i = 0; i < *count; i++)
		complete(trace, places, &ooms[i]);
	return ooms;
}

void ooms_free(struct oom *ooms, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(ooms[i].source);
		free(ooms[i].message);
		line_free(&ooms[i].line);
		live_free(&ooms[i].live);
		segments_free(&ooms[i].segments);
	}
	free(ooms);
}
