/* around.c - what lies around allocated memory, for which there is no formula: segments,
 * the allocator's cache, the context.
 * Called from: measure.c, reconcile.c. */
#include "reconcile.h"

#include "heap.h"
#include "reconcile_queries.h"

void reconcile_segments(struct reconciled *r)
{
	size_t room = 0;
	struct rows *rows =
	        db_rows(r->trace->db, sql_pytorch_segments, "iii", r->device->id,
	                r->point.step, r->point.ordinal < 0 ? 0 : r->point.ordinal);

	while (rows_next(rows)) {
		r->segments = grow(r->segments, r->segment_count, &room,
		                   sizeof(*r->segments));
		r->segments[r->segment_count++] = (struct segment){
		        .address = rows_number(rows, 0),
		        .bytes = rows_number(rows, 1),
		        .piece = rows_number(rows, 2) ? rows_number(rows, 1) : 0};
	}
	r->segment_count = segments_join(r->segments, r->segment_count);
}

void segment_use(struct reconciled *r, const struct block *block)
{
	size_t low = 0, high = r->segment_count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (r->segments[middle].address <= block->address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low &&
	    block->address - r->segments[low - 1].address < r->segments[low - 1].bytes)
		r->segments[low - 1].used += block->bytes;
}

static void cache(struct reconciled *r)
{
	struct row *row = &r->rows[ROW_CACHE];
	int64_t reserved = 0, used = 0, whole = 0, parts = 0;

	if (r->sample.reserved < r->point.allocated)
		return; /* a device without a caching allocator: the CPU */
	row->measured = r->sample.reserved - r->point.allocated;
	for (size_t i = 0; i < r->segment_count; i++) {
		const struct segment *segment = &r->segments[i];
		reserved += segment->bytes;
		used += segment->used;
		if (segment->used)
			parts += segment->bytes - segment->used;
		else
			whole += segment->bytes;
	}
	/* A folded step's blocks have its pattern's addresses, so that a block may lie
	 * where another is: only what adds up is told apart. */
	if (reserved == r->sample.reserved && used == r->point.allocated &&
	    r->step.pattern == r->step.id) {
		row_cause(row, CAUSE_BESIDE, parts, "free space beside blocks in use");
		row_cause(row, CAUSE_EMPTY, whole, "segments with no block in use");
	} else {
		row_cause(row, CAUSE_CACHED, row->measured,
		          "free blocks that the allocator keeps");
	}
}

static void context(struct reconciled *r)
{
	struct row *row = &r->rows[ROW_CONTEXT];
	struct rows *rows;
	int64_t first;

	if (r->sample.device_used < 0 || r->sample.reserved < 0)
		return;
	row->measured = first = r->sample.device_used - r->sample.reserved;
	rows = db_rows(r->trace->db, sql_first_context, "i", r->device->id);
	if (rows_next(rows)) {
		first = rows_number_or(rows, 0, first);
		rows_free(rows);
	}
	row_cause(row, CAUSE_CONTEXT, first,
	          "CUDA context and other processes, at the first segment");
	row_cause(row, CAUSE_GROWN, row->measured - first,
	          "driver, libraries, other processes since then");
}

void reconcile_around(struct reconciled *r)
{
	cache(r);
	context(r);
}
