/* flow.c - a run from its first event to its last, one act at a time.
 *
 * A folded step is its pattern's rows told again at its own time. What it leaves alive is
 * either given back by a later step's pattern, found there by place and size, the oldest
 * first; or it has a row of its own, whose ordinal says which birth it stands for. Addresses
 * are the pattern's: where one is taken already, the block gets another.
 * Called from: export.c, memory_viz.c, perfetto.c. */
#include "flow.h"

#include <stdlib.h>

#include "export_queries.h"
#include "heap.h"
#include "pool.h"
#include "replay.h"

struct own {
	int64_t ordinal, row, address, bucket;
};

struct level {
	int64_t allocated, reserved, peak;
};

struct flow {
	struct trace *trace;
	int64_t from, to;
	flow_visit *visit;
	void *context;
	struct pool *blocks, *segments;
	struct level *levels; /* one for each device */
	struct step step;     /* the one that is told */
	struct own *own;      /* its own rows, where it is folded */
	size_t own_count, own_room, own_at;
	struct rows *segment_rows, *refusal_rows; /* NULL: at their end */
	struct flow_doubts doubts;
};

struct flow *flow_new(struct trace *trace, int64_t from, int64_t to)
{
	struct flow *flow = allocate(sizeof(*flow));

	*flow = (struct flow){.trace = trace, .from = from, .to = to};
	flow->blocks = pool_new();
	flow->segments = pool_new();
	flow->levels = allocate((trace->device_count + 1) * sizeof(*flow->levels));
	return flow;
}

void flow_free(struct flow *flow)
{
	if (flow->segment_rows)
		rows_free(flow->segment_rows);
	if (flow->refusal_rows)
		rows_free(flow->refusal_rows);
	pool_free(flow->blocks);
	pool_free(flow->segments);
	free(flow->levels);
	free(flow->own);
	free(flow);
}

static int32_t device_index(const struct trace *trace, int64_t device)
{
	for (size_t i = 0; i < trace->device_count; i++)
		if (trace->devices[i].id == device)
			return (int32_t)i;
	return -1;
}

static void tell(struct flow *flow, const struct act *act)
{
	struct act full = *act;

	if (flow->step.id < flow->from)
		return;
	full.step = flow->step.id;
	if (act->device >= 0) {
		full.allocated = flow->levels[act->device].allocated;
		full.reserved = flow->levels[act->device].reserved;
	}
	flow->visit(flow->context, &full);
}

static struct act act_of(enum act_kind kind, const struct piece_of *piece,
                         int64_t time_ns)
{
	return (struct act){.kind = kind,
	                    .time_ns = time_ns,
	                    .device = piece->device,
	                    .address = piece->address,
	                    .bytes = piece->bytes,
	                    .requested = piece->requested,
	                    .site = piece->site,
	                    .bucket = piece->bucket,
	                    .phase = piece->phase,
	                    .expandable = piece->expandable,
	                    .lone = piece->lone,
	                    .device_free = -1};
}

/* ---- segments and refusals --------------------------------------------------------------- */

static bool before(struct rows *rows, int64_t step, int64_t ordinal)
{
	int64_t its = rows_number(rows, 0);

	return its < step || (its == step && rows_number(rows, 1) <= ordinal);
}

static void segment_act(struct flow *flow, struct rows *rows)
{
	struct piece_of *known,
	        piece = {.device = device_index(flow->trace, rows_number(rows, 4)),
	                 .address = rows_number(rows, 5),
	                 .bytes = rows_number(rows, 6),
	                 .expandable = rows_number(rows, 7),
	                 .requested = -1,
	                 .site = -1,
	                 .bucket = -1,
	                 .segment = true};
	bool taken = rows_number(rows, 3);
	struct act act = act_of(taken ? ACT_SEGMENT_TAKEN : ACT_SEGMENT_GIVEN, &piece,
	                        rows_number(rows, 2));

	if (piece.device < 0)
		return;
	known = pool_at(flow->segments, piece.device, piece.address);
	if (taken == (known != NULL)) /* a damaged trace says it twice */
		return;
	flow->levels[piece.device].reserved += taken ? piece.bytes : -known->bytes;
	if (taken)
		pool_add(flow->segments, &piece, &flow->doubts.moved);
	else
		pool_remove(flow->segments, known);
	tell(flow, &act);
}

static void refusal_act(struct flow *flow, struct rows *rows)
{
	tell(flow,
	     &(struct act){.kind = ACT_REFUSED,
	                   .time_ns = rows_number(rows, 2),
	                   .device = device_index(flow->trace, rows_number(rows, 3)),
	                   .site = rows_number_or(rows, 4, -1),
	                   .bytes = rows_number(rows, 5),
	                   .requested = -1,
	                   .bucket = -1,
	                   .device_free = rows_number_or(rows, 6, -1)});
}

/* What happened to segments, and was refused, before the event of the step that is told. */
static void tell_before(struct flow *flow, int64_t ordinal)
{
	while (flow->segment_rows &&
	       before(flow->segment_rows, flow->step.id, ordinal)) {
		segment_act(flow, flow->segment_rows);
		if (!rows_next(flow->segment_rows))
			flow->segment_rows = NULL;
	}
	while (flow->refusal_rows &&
	       before(flow->refusal_rows, flow->step.id, ordinal)) {
		refusal_act(flow, flow->refusal_rows);
		if (!rows_next(flow->refusal_rows))
			flow->refusal_rows = NULL;
	}
}

/* ---- blocks -------------------------------------------------------------------------------- */

static void read_own(struct flow *flow)
{
	struct rows *rows;

	flow->own_count = flow->own_at = 0;
	if (flow->step.pattern == flow->step.id)
		return;
	rows = db_rows(flow->trace->db, sql_own_rows, "i", flow->step.id);
	while (rows_next(rows)) {
		flow->own = grow(flow->own, flow->own_count, &flow->own_room,
		                 sizeof(*flow->own));
		flow->own[flow->own_count++] =
		        (struct own){.ordinal = rows_number(rows, 0),
		                     .row = rows_number(rows, 1),
		                     .address = rows_number(rows, 2),
		                     .bucket = rows_number(rows, 3)};
	}
}

/* The first and the last byte of a block lie in segments: pieces of an expandable one touch. */
static bool covered(struct flow *flow, const struct piece_of *piece)
{
	return pool_at(flow->segments, piece->device, piece->address) &&
	       pool_at(flow->segments, piece->device,
	               piece->address + piece->bytes - 1);
}

static void birth(struct flow *flow, const struct piece_of *row, int64_t died_step)
{
	struct piece_of piece = *row, *made;
	struct level *level = &flow->levels[piece.device];
	struct act act;

	while (flow->own_at < flow->own_count &&
	       flow->own[flow->own_at].ordinal < piece.ordinal)
		flow->own_at++;
	if (flow->own_at < flow->own_count &&
	    flow->own[flow->own_at].ordinal == piece.ordinal) {
		const struct own *own = &flow->own[flow->own_at++];
		piece.row = own->row;
		piece.address = own->address;
		piece.bucket = own->bucket;
	}
	/* Whoever gives it back may know another row. */
	piece.heir =
	        flow->step.pattern != flow->step.id || died_step != flow->step.pattern;
	made = pool_add(flow->blocks, &piece, &flow->doubts.moved);
	made->lone = !covered(flow, made);
	level->allocated += piece.bytes;
	if (flow->step.id >= flow->from && level->allocated > level->peak)
		level->peak = level->allocated;
	act = act_of(ACT_TAKEN, made, piece.time_ns);
	tell(flow, &act);
}

static void death(struct flow *flow, const struct piece_of *row, int64_t born_step)
{
	bool own =
	        born_step == flow->step.pattern || flow->step.pattern == flow->step.id;
	struct piece_of *piece = own ? pool_by_row(flow->blocks, row->row) : NULL;
	struct act act;

	if (!piece)
		piece = pool_heir(flow->blocks, row->site, row->bytes, row->device);
	if (!piece) {
		flow->doubts.unpaired++;
		return;
	}
	flow->levels[row->device].allocated -= piece->bytes;
	act = act_of(ACT_GIVEN, piece, row->time_ns);
	pool_remove(flow->blocks, piece);
	tell(flow, &act);
}

static void tell_events(struct flow *flow)
{
	struct rows *rows;

	trace_ended(flow->trace);
	rows = db_rows(flow->trace->db, sql_step_acts, "iii", flow->step.first,
	               flow->step.last, flow->step.pattern);
	while (rows_next(rows)) {
		struct piece_of row = {
		        .ordinal = rows_number(rows, 0),
		        .time_ns = replay_time(&flow->step, rows_number(rows, 1)),
		        .row = rows_number(rows, 3),
		        .device = device_index(flow->trace, rows_number(rows, 4)),
		        .site = rows_number(rows, 5),
		        .bucket = rows_number(rows, 6),
		        .bytes = rows_number(rows, 7),
		        .requested = rows_number_or(rows, 8, -1),
		        .address = rows_number(rows, 9)};
		tell_before(flow, row.ordinal);
		if (row.device < 0)
			continue;
		if (rows_number(rows, 2))
			birth(flow, &row, rows_number_or(rows, 11, -1));
		else
			death(flow, &row, rows_number(rows, 10));
	}
}

/* ---- steps --------------------------------------------------------------------------------- */

static void tell_phases(struct flow *flow)
{
	struct rows *rows =
	        db_rows(flow->trace->db, sql_spans, "i", flow->step.pattern);

	while (rows_next(rows))
		tell(flow, &(struct act){.kind = ACT_PHASE,
		                         .device = -1,
		                         .phase = rows_number(rows, 0),
		                         .time_ns = replay_time(&flow->step,
		                                                rows_number(rows, 1)),
		                         .end_ns = flow->step.end_ns});
}

static void tell_head(struct flow *flow)
{
	tell(flow, &(struct act){.kind = ACT_STEP,
	                         .device = -1,
	                         .time_ns = flow->step.start_ns,
	                         .end_ns = flow->step.end_ns});
	tell_phases(flow);
}

static void tell_step(struct flow *flow, int64_t id)
{
	if (id == flow->from)
		for (size_t i = 0; i < flow->trace->device_count; i++)
			flow->levels[i].peak = flow->levels[i].allocated;
	tell_head(flow);
	if (flow->step.thinned)
		flow->doubts.thinned++;
	read_own(flow);
	tell_events(flow);
	tell_before(flow, INT64_MAX);
}

static struct rows *first_row(struct rows *rows)
{
	return rows_next(rows) ? rows : NULL;
}

static void each_step(struct flow *flow, bool events)
{
	struct rows *rows =
	        db_rows(flow->trace->db,
	                "SELECT id FROM step WHERE id <= ? ORDER BY id", "i", flow->to);

	while (rows_next(rows)) {
		int64_t id = rows_number(rows, 0);
		if (!events && id < flow->from)
			continue;
		flow->step = trace_step(flow->trace, id);
		if (events)
			tell_step(flow, id);
		else
			tell_head(flow);
	}
}

void flow_run(struct flow *flow, flow_visit *visit, void *context)
{
	flow->visit = visit;
	flow->context = context;
	flow->segment_rows = first_row(db_rows(flow->trace->db, sql_segment_acts, ""));
	flow->refusal_rows = first_row(db_rows(flow->trace->db, sql_refusals, ""));
	each_step(flow, true);
}

void flow_outline(struct flow *flow, flow_visit *visit, void *context)
{
	flow->visit = visit;
	flow->context = context;
	each_step(flow, false);
}

static void visit_alive(void *context, const struct piece_of *piece)
{
	struct flow *flow = context;
	struct act act = act_of(piece->segment ? ACT_SEGMENT_TAKEN : ACT_TAKEN, piece,
	                        piece->time_ns);

	flow->visit(flow->context, &act);
}

void flow_alive(struct flow *flow, flow_visit *visit, void *context)
{
	flow->visit = visit;
	flow->context = context;
	pool_each(flow->segments, visit_alive, flow);
	pool_each(flow->blocks, visit_alive, flow);
}

int64_t flow_peak(const struct flow *flow, size_t device)
{
	return flow->levels[device].peak;
}

struct flow_doubts flow_doubts(const struct flow *flow)
{
	return flow->doubts;
}
