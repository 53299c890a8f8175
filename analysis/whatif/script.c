/* script.c - a run on one device as a sequence of acts.
 *
 * A folded step is its pattern's events; what it leaves alive is either given back by a later
 * step's pattern, or has a row of its own. A piece that a pattern gives back and that was made
 * before it is found by its place and size, the oldest first.
 * Called from: advice/, commands/, compare/, whatif/. */
#include "script.h"

#include <stdlib.h>
#include <string.h>

#include "allocator.h"
#include "heap.h"
#include "recording.h"
#include "streams.h"
#include "whatif_queries.h"
#include "whole.h"

struct moment_of { /* an event of a step */
	int64_t ordinal;
	int32_t row; /* ~row: it is given back */
};

struct load {
	struct recording rec;
	struct script *script;
	int64_t refused_step, refused_at; /* -1: none */
	size_t pending_at;
	size_t exact; /* acts before the first folded step */
	struct moment_of *events;
	size_t event_count, event_room;
	/* pieces that are alive and have no row of their own, in a hash of place and size */
	struct chain {
		int32_t first, last; /* -1: none */
	} * heirs;
	int32_t *next;
	size_t heir_slots, next_room;
};

/* ---- building ----------------------------------------------------------------------------- */

static void act(struct script *script, int32_t what)
{
	script->acts = grow(script->acts, script->act_count, &script->act_room,
	                    sizeof(*script->acts));
	script->acts[script->act_count++] = what;
}

void script_begin(struct script *script, int32_t step)
{
	script->steps = grow(script->steps, script->step_count, &script->step_room,
	                     sizeof(*script->steps));
	script->steps[script->step_count++] =
	        (struct stretch){.step = step, .first = (int32_t)script->act_count};
}

int32_t script_take(struct script *script, struct piece piece)
{
	int32_t index = (int32_t)script->count;

	piece.taken = (int32_t)script->act_count;
	piece.given = -1;
	if (script->step_count)
		piece.step = script->steps[script->step_count - 1].step;
	script->pieces = grow(script->pieces, script->count, &script->room,
	                      sizeof(*script->pieces));
	script->pieces[script->count++] = piece;
	act(script, index);
	return index;
}

void script_give(struct script *script, int32_t piece)
{
	script->pieces[piece].given = (int32_t)script->act_count;
	act(script, ~piece);
}

void script_free(struct script *script)
{
	free(script->pieces);
	free(script->acts);
	free(script->steps);
	*script = (struct script){0};
}

static int by_ordinal(const void *left, const void *right)
{
	const struct moment_of *a = left, *b = right;

	return a->ordinal < b->ordinal ? -1 : a->ordinal > b->ordinal;
}

static void event(struct load *load, int64_t ordinal, int32_t row)
{
	load->events = grow(load->events, load->event_count, &load->event_room,
	                    sizeof(*load->events));
	load->events[load->event_count++] = (struct moment_of){ordinal, row};
}

/* The events of a step that has rows, in order. */
static void read_events(struct load *load, int64_t pattern)
{
	load->event_count = 0;
	for (size_t i = recording_first(&load->rec, false, pattern);
	     i < load->rec.row_count &&
	     load->rec.rows[load->rec.by_born[i]].born_step == pattern;
	     i++)
		event(load, load->rec.rows[load->rec.by_born[i]].born,
		      load->rec.by_born[i]);
	for (size_t i = recording_first(&load->rec, true, pattern);
	     i < load->rec.row_count &&
	     load->rec.rows[load->rec.by_died[i]].died_step == pattern;
	     i++)
		event(load, load->rec.rows[load->rec.by_died[i]].died,
		      ~load->rec.by_died[i]);
	if (load->event_count)
		qsort(load->events, load->event_count, sizeof(*load->events),
		      by_ordinal);
}

/* ---- pieces without a row of their own ------------------------------------------------- */

static size_t slot_of(const struct load *load, const struct piece *piece)
{
	uint64_t key =
	        ((uint64_t)(uint32_t)piece->site << 32 ^ (uint64_t)piece->bytes) *
	        0x9e3779b97f4a7c15u;

	return (size_t)(key >> 32) & (load->heir_slots - 1);
}

static void remember(struct load *load, int32_t piece)
{
	struct chain *chain = &load->heirs[slot_of(load, &load->script->pieces[piece])];
	size_t before = load->next_room;

	while ((size_t)piece >= load->next_room)
		load->next_room = load->next_room ? load->next_room * 2 : 1024;
	if (load->next_room != before)
		load->next = resize(load->next, load->next_room * sizeof(*load->next));
	load->next[piece] = -1;
	if (chain->first < 0)
		chain->first = piece;
	else
		load->next[chain->last] = piece;
	chain->last = piece;
}

/* The piece behind `before` (-1: the first) leaves the chain. */
static void forget(struct load *load, struct chain *chain, int32_t before,
                   int32_t piece)
{
	if (before < 0)
		chain->first = load->next[piece];
	else
		load->next[before] = load->next[piece];
	if (chain->last == piece)
		chain->last = before;
}

/* The oldest piece of this place and size that is alive; -1. */
static int32_t heir(struct load *load, const struct piece *like)
{
	struct chain *chain = &load->heirs[slot_of(load, like)];
	int32_t before = -1;

	for (int32_t at = chain->first; at >= 0; at = load->next[at]) {
		const struct piece *piece = &load->script->pieces[at];
		bool same = piece->site == like->site && piece->bytes == like->bytes;
		if (piece->given < 0 && !same) {
			before = at;
			continue;
		}
		forget(load, chain, before, at);
		if (piece->given < 0)
			return at;
	}
	return -1;
}

/* ---- telling ----------------------------------------------------------------------------- */

static void empty_before(struct load *load, int64_t step, int64_t ordinal)
{
	while (load->pending_at < load->rec.pending_count) {
		const struct pending *next = &load->rec.pending[load->pending_at];
		if (next->step > step ||
		    (next->step == step && next->ordinal > ordinal))
			return;
		act(load->script, ACT_EMPTY);
		load->pending_at++;
	}
}

static void birth(struct load *load, const struct number *step, int32_t index)
{
	struct row *row = &load->rec.rows[index];
	int32_t made = script_take(load->script, row->piece);

	row->made = made;
	/* What a folded step leaves alive: whoever gives it back may know another row. */
	if (step->pattern != step->step || row->died_step != row->born_step)
		remember(load, made);
}

static void death(struct load *load, const struct number *step, int32_t index)
{
	struct row *row = &load->rec.rows[index];
	bool own = row->born_step == step->pattern || step->pattern == step->step;
	int32_t piece = own ? row->made : -1;

	if (piece < 0 || load->script->pieces[piece].given >= 0)
		piece = heir(load, &row->piece);
	if (piece < 0 || load->script->pieces[piece].given >= 0) {
		load->script->incomplete =
		        "a folded step gives back what none before it took";
		return;
	}
	load->script->pieces[piece].phase_given = row->piece.phase_given;
	script_give(load->script, piece);
}

/* A row that a folded step has of its own stands for a birth of its pattern. */
static void own_rows(struct load *load, const struct number *step, size_t first_piece)
{
	size_t at = first_piece;

	for (size_t i = recording_first(&load->rec, false, step->step);
	     i < load->rec.row_count &&
	     load->rec.rows[load->rec.by_born[i]].born_step == step->step;
	     i++) {
		struct row *row = &load->rec.rows[load->rec.by_born[i]];
		while (at < load->script->count &&
		       load->script->pieces[at].ordinal < row->piece.ordinal)
			at++;
		if (at < load->script->count &&
		    load->script->pieces[at].ordinal == row->piece.ordinal) {
			row->made = (int32_t)at;
			load->script->pieces[at].address = row->piece.address;
			load->script->pieces[at].bucket = row->piece.bucket;
		}
	}
}

/* false: the refusal came. */
static bool tell_step(struct load *load, const struct number *step)
{
	struct script *script = load->script;
	size_t first_piece = script->count;

	script_begin(script, (int32_t)step->step);
	script->steps[script->step_count - 1].complete = step->complete;
	if (step->thinned)
		script->incomplete = "steps of it were thinned out to rollups "
		                     "(TIDEMARK_MAX_SIZE)";
	read_events(load, step->pattern);
	for (size_t i = 0; i < load->event_count; i++) {
		const struct moment_of *event = &load->events[i];
		if (step->step == load->refused_step &&
		    event->ordinal >= load->refused_at)
			return false;
		empty_before(load, step->step, event->ordinal);
		if (event->row >= 0)
			birth(load, step, event->row);
		else
			death(load, step, ~event->row);
	}
	if (step->pattern != step->step)
		own_rows(load, step, first_piece);
	return step->step != load->refused_step;
}

/* What was alive as the first step that is told began. */
static void tell_before(struct load *load, int64_t from)
{
	for (size_t i = 0; i < load->rec.row_count; i++) {
		struct row *row = &load->rec.rows[load->rec.by_born[i]];
		if (row->born_step < from &&
		    (row->died_step < 0 || row->died_step >= from)) {
			row->made = script_take(load->script, row->piece);
			remember(load, row->made);
		}
	}
}

static void refuse(struct load *load, int64_t oom)
{
	struct rows *rows = db_rows(load->rec.trace->db, sql_refusal, "i", oom);
	struct piece piece = {.requested = -1, .address = -1, .ordinal = -1};

	if (!rows_next(rows))
		return;
	piece.bytes = rows_number_or(rows, 2, 0);
	piece.site = (int32_t)rows_number_or(rows, 3, -1);
	piece.phase = (uint8_t)rows_number_or(rows, 4, PHASE_OTHER);
	piece.bucket = BUCKET_ACTIVATION;
	rows_free(rows);
	empty_before(load, load->refused_step, load->refused_at);
	act(load->script, ACT_REFUSED);
	load->script->refused_piece = script_take(load->script, piece);
}

static void read_around(struct load *load, int64_t oom)
{
	struct rows *rows = db_rows(load->rec.trace->db, sql_around, "ii",
	                            load->rec.device->id, oom);
	struct script *script = load->script;
	double fraction;

	script->total =
	        load->rec.device->total_bytes > 0 ? load->rec.device->total_bytes : -1;
	script->outside = -1;
	script->limit = INT64_MAX;
	if (rows_next(rows)) {
		script->total = rows_number(rows, 0);
		script->outside = rows_number(rows, 1);
		rows_free(rows);
	}
	fraction = trace_memory_fraction(load->rec.trace, load->rec.device);
	if (fraction < 1 && script->total > 0)
		script->limit = whole_of(fraction * (double)script->total);
}

/* A step that equals those around it: what it leaves alive, and nothing else. */
static void tell_left(struct load *load, const struct number *step)
{
	for (size_t i = recording_first(&load->rec, false, step->step);
	     i < load->rec.row_count &&
	     load->rec.rows[load->rec.by_born[i]].born_step == step->step;
	     i++) {
		struct row *row = &load->rec.rows[load->rec.by_born[i]];
		row->made = script_take(load->script, row->piece);
		load->script->pieces[row->made].step = (int32_t)step->step;
		remember(load, row->made);
	}
}

static void tell(struct load *load)
{
	const struct recording *rec = &load->rec;
	int64_t from = rec->step_count ? rec->steps[rec->first].step : 0;
	bool folded = false, goes_on = true;

	if (rec->first > 0)
		tell_before(load, from);
	while (load->pending_at < rec->pending_count &&
	       rec->pending[load->pending_at].step < from)
		load->pending_at++;
	for (size_t i = rec->first; i < rec->step_count && goes_on; i++) {
		folded = folded || rec->first > 0 ||
		         rec->steps[i].pattern != rec->steps[i].step;
		if (!rec->steps[i].told && load->script->step_count)
			tell_left(load, &rec->steps[i]);
		else
			goes_on = tell_step(load, &rec->steps[i]);
		if (!folded)
			load->exact = load->script->act_count;
	}
}

void script_load(struct trace *trace, const struct device *device, int64_t oom,
                 const struct rules *rules, struct script *script)
{
	struct load load = {.script = script,
	                    .refused_step = -1,
	                    .refused_at = -1,
	                    .heir_slots = 1 << 14};
	struct rows *rows = db_rows(trace->db, sql_refusal, "i", oom);

	*script = (struct script){.refused_piece = -1};
	if (rows_next(rows)) {
		load.refused_step = rows_number(rows, 0);
		load.refused_at = rows_number(rows, 1);
		rows_free(rows);
	}
	recording_load(trace, device, load.refused_step, &load.rec);
	for (size_t i = 0; i < load.rec.row_count; i++)
		if (load.rec.rows[i].piece.requested <= 0)
			load.rec.rows[i].piece.requested =
			        allocator_asked(rules, load.rec.rows[i].piece.bytes);
	read_around(&load, oom);
	load.heirs = allocate(load.heir_slots * sizeof(*load.heirs));
	memset(load.heirs, -1, load.heir_slots * sizeof(*load.heirs));
	tell(&load);
	if (load.refused_step >= 0)
		refuse(&load, oom);
	streams_find(trace, device, rules, script, load.exact);
	recording_free(&load.rec);
	free(load.events);
	free(load.heirs);
	free(load.next);
}
