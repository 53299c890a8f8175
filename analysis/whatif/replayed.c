/* replayed.c - a script given to the model of the allocator, edited or not.
 * Called from: advice/, commands/, compare/. */
#include "replayed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocator.h"
#include "heap.h"
#include "whatif_queries.h"

/* ---- edits -------------------------------------------------------------------------------- */

void edit_begin(const struct script *script, struct edit *edit)
{
	size_t size = (script->count + 1) * sizeof(*edit->bytes);

	*edit = (struct edit){0};
	edit->bytes = allocate(size);
	memset(edit->bytes, -1, size);
	edit->given = allocate((script->count + 1) * sizeof(*edit->given));
	memset(edit->given, -1, (script->count + 1) * sizeof(*edit->given));
}

static void touch(struct edit *edit, int32_t piece)
{
	edit->touched = grow(edit->touched, edit->touched_count, &edit->touched_room,
	                     sizeof(*edit->touched));
	edit->touched[edit->touched_count++] = piece;
}

void edit_bytes(struct edit *edit, int32_t piece, int64_t bytes)
{
	edit->bytes[piece] = bytes;
	touch(edit, piece);
}

void edit_given(struct edit *edit, int32_t piece, int32_t act)
{
	edit->given[piece] = act;
	touch(edit, piece);
}

bool edit_given_by(struct edit *edit, const struct script *script, int32_t piece,
                   int32_t act)
{
	int32_t given = script->pieces[piece].given;

	if (given >= 0 && given <= act)
		return false;
	edit_given(edit, piece, act);
	return true;
}

void edit_extra(struct edit *edit, struct extra extra)
{
	edit->extras = grow(edit->extras, edit->extra_count, &edit->extra_room,
	                    sizeof(*edit->extras));
	edit->extras[edit->extra_count++] = extra;
}

void edit_clear(struct edit *edit)
{
	for (size_t i = 0; i < edit->touched_count; i++) {
		edit->bytes[edit->touched[i]] = -1;
		edit->given[edit->touched[i]] = EDIT_AS_WAS;
	}
	edit->touched_count = edit->extra_count = 0;
	edit->empty_cache_each_step = false;
}

void edit_free(struct edit *edit)
{
	free(edit->bytes);
	free(edit->given);
	free(edit->extras);
	free(edit->touched);
	*edit = (struct edit){0};
}

/* ---- replays ------------------------------------------------------------------------------ */

struct early { /* something that happens before an act and has no act of its own */
	int32_t act, piece; /* piece: given back; or ~extra, taken or given back */
	bool takes;
};

struct play {
	const struct script *script;
	const struct edit *edit;
	struct allocator *allocator;
	struct replayed *replayed;
	int32_t *block; /* by piece; -1: it has none */
	int32_t *extra; /* by extra */
	struct early *early;
	size_t early_count, early_at, early_room;
	int32_t since; /* the first act of the step that was refused */
	bool empties;  /* memory was given back before the next act */
	int32_t *
	        acts; /* the script's, where what the allocator did itself is marked; NULL */
};

static int by_act(const void *left, const void *right)
{
	const struct early *a = left, *b = right;

	if (a->act != b->act)
		return a->act < b->act ? -1 : 1;
	return a->takes - b->takes; /* what goes makes room first */
}

static void put_early(struct play *play, struct early early)
{
	play->early = grow(play->early, play->early_count, &play->early_room,
	                   sizeof(*play->early));
	play->early[play->early_count++] = early;
}

static void gather(struct play *play)
{
	const struct edit *edit = play->edit;

	for (size_t i = 0; edit && i < edit->touched_count; i++) {
		int32_t piece = edit->touched[i], act = edit->given[piece];
		if (act >= 0)
			put_early(play, (struct early){act, piece, false});
	}
	for (size_t i = 0; edit && i < edit->extra_count; i++) {
		put_early(play,
		          (struct early){edit->extras[i].from, ~(int32_t)i, true});
		if (edit->extras[i].to >= 0)
			put_early(play, (struct early){edit->extras[i].to, ~(int32_t)i,
			                               false});
	}
	if (play->early_count)
		qsort(play->early, play->early_count, sizeof(*play->early), by_act);
}

static int64_t asked(const struct play *play, int32_t index)
{
	int64_t other = play->edit ? play->edit->bytes[index] : -1;

	if (other >= 0)
		return other;
	return piece_asked(&play->script->pieces[index]);
}

/* false: refused. */
static bool serve(struct play *play, int64_t bytes, int stream, int64_t address,
                  int32_t act, int32_t *block)
{
	struct replayed *replayed = play->replayed;
	int64_t now;

	*block = -1;
	if (!bytes)
		return true;
	*block = allocator_take_near(play->allocator, bytes, stream, address);
	if (*block < 0) {
		replayed->fits = false;
		replayed->act = act;
		return false;
	}
	now = allocator_allocated(play->allocator);
	if (now > replayed->peak_allocated) {
		replayed->peak_allocated = now;
		replayed->peak_act = act;
	}
	if (act >= play->since && now > replayed->peak_since)
		replayed->peak_since = now;
	if (allocator_reserved(play->allocator) > replayed->peak_reserved)
		replayed->peak_reserved = allocator_reserved(play->allocator);
	return true;
}

static void let_go(struct play *play, int32_t *block)
{
	if (*block >= 0)
		allocator_give(play->allocator, *block);
	*block = -1;
}

static bool early_ones(struct play *play, int32_t act)
{
	while (play->early_at < play->early_count &&
	       play->early[play->early_at].act <= act) {
		const struct early *early = &play->early[play->early_at++];
		if (early->piece >= 0) {
			/* In the meantime another edit may have moved it. */
			if (play->edit->given[early->piece] == early->act)
				let_go(play, &play->block[early->piece]);
		} else if (!early->takes) {
			let_go(play, &play->extra[~early->piece]);
		} else {
			const struct extra *extra = &play->edit->extras[~early->piece];
			if (!serve(play, extra->bytes, extra->stream, -1, act,
			           &play->extra[~early->piece]))
				return false;
		}
	}
	return true;
}

/* Memory went back to the device before an act. For a request that lacks memory, or that comes
 * above garbage_collection_threshold, the allocator does it itself, and not all of it. */
static void give_back(struct play *play, int32_t at)
{
	int32_t what = play->script->acts[at];
	enum gives gives = what < 0
	                           ? GIVES_NOTHING
	                           : allocator_gives(play->allocator, asked(play, what),
	                                             play->script->pieces[what].stream);

	play->empties = false;
	if (gives == GIVES_NOTHING)
		allocator_empty_cache(play->allocator);
	for (int32_t i = at - 1;
	     play->acts && gives == GIVES_AGED && i >= 0 && play->acts[i] == ACT_EMPTY;
	     i--)
		play->acts[i] = ACT_OWN;
}

static bool one_act(struct play *play, int32_t at)
{
	int32_t what = play->script->acts[at];

	if (play->early_at < play->early_count && !early_ones(play, at))
		return false;
	if (what == ACT_EMPTY || what == ACT_OWN) {
		play->empties = play->empties || what == ACT_EMPTY;
		return true;
	}
	if (play->empties)
		give_back(play, at);
	if (what >= 0) {
		return serve(play, asked(play, what), play->script->pieces[what].stream,
		             play->script->pieces[what].address, at,
		             &play->block[what]);
	} else if (what != ACT_REFUSED) {
		int32_t moved = play->edit ? play->edit->given[~what] : EDIT_AS_WAS;
		if (moved == EDIT_AS_WAS || moved < at)
			let_go(play, &play->block[~what]);
	}
	return true;
}

static void play_begin(struct play *play, const struct script *script,
                       const struct rules *rules, const struct edit *edit,
                       int64_t capacity, struct replayed *replayed)
{
	*replayed = (struct replayed){.fits = true, .act = -1, .peak_act = -1};
	*play = (struct play){
	        .script = script,
	        .edit = edit,
	        .replayed = replayed,
	        .since = script->refused_piece < 0 || !script->step_count
	                         ? 0
	                         : script->steps[script_refused(script)].first,
	        .allocator = allocator_new(rules, capacity)};
	play->block = allocate((script->count + 1) * sizeof(*play->block));
	memset(play->block, -1, (script->count + 1) * sizeof(*play->block));
	if (edit) {
		play->extra = allocate((edit->extra_count + 1) * sizeof(*play->extra));
		memset(play->extra, -1, (edit->extra_count + 1) * sizeof(*play->extra));
	}
	gather(play);
}

static void play_end(struct play *play)
{
	play->replayed->retries = allocator_retries(play->allocator);
	allocator_free(play->allocator);
	free(play->block);
	free(play->extra);
	free(play->early);
}

void replay_script(const struct script *script, const struct rules *rules,
                   const struct edit *edit, bool unbounded, struct replayed *replayed)
{
	struct play play;
	size_t step = 0;

	play_begin(&play, script, rules, edit,
	           unbounded ? INT64_MAX : script_capacity(script), replayed);
	for (size_t at = 0; at < script->act_count; at++) {
		bool begins = step < script->step_count &&
		              script->steps[step].first <= (int32_t)at;
		if (begins && edit && edit->empty_cache_each_step)
			allocator_empty_cache(play.allocator);
		step += begins;
		if (!one_act(&play, (int32_t)at))
			break;
	}
	play_end(&play);
}

/* ---- held against the trace ----------------------------------------------------------------- */

struct checks {
	struct rows *rows;
	bool more;
	int64_t step, ordinal, reserved;
};

static void next_check(struct checks *checks)
{
	checks->more = rows_next(checks->rows);
	if (!checks->more)
		return;
	checks->step = rows_number(checks->rows, 0);
	checks->ordinal = rows_number(checks->rows, 1);
	checks->reserved = rows_number(checks->rows, 2);
}

static void compare(const struct checks *checks, int64_t reserved,
                    struct agreement *agreement)
{
	int64_t off = reserved > checks->reserved ? reserved - checks->reserved
	                                          : checks->reserved - reserved;

	agreement->samples++;
	if (!off)
		return;
	agreement->differing++;
	if (agreement->first_step < 0)
		agreement->first_step = (int32_t)checks->step;
	if (off > agreement->worst)
		agreement->worst = off;
}

static void check_acts(const struct script *script, struct play *play,
                       struct checks *checks, struct agreement *agreement)
{
	size_t step = 0;
	size_t upto = script->act_count;

	if (script->refused_piece >= 0)
		upto = (size_t)script->pieces[script->refused_piece].taken;
	for (size_t at = 0; at < upto; at++) {
		int32_t what = script->acts[at];
		while (step < script->step_count &&
		       script->steps[step].first <= (int32_t)at)
			step++;
		if (!one_act(play, (int32_t)at))
			return;
		/* A sample is taken at the event that changed what is reserved. */
		while (what >= 0 && step && checks->more &&
		       (checks->step < script->steps[step - 1].step ||
		        (checks->step == script->steps[step - 1].step &&
		         checks->ordinal <= script->pieces[what].ordinal))) {
			if (checks->step == script->steps[step - 1].step &&
			    checks->ordinal == script->pieces[what].ordinal)
				compare(checks, allocator_reserved(play->allocator),
				        agreement);
			next_check(checks);
		}
	}
}

static void check(struct trace *trace, const struct device *device,
                  const struct rules *rules, struct script *script,
                  struct agreement *agreement)
{
	struct checks checks = {
	        .rows = db_rows(trace->db, sql_samples_of, "i", device->id)};
	struct replayed replayed;
	struct play play;

	*agreement = (struct agreement){.first_step = -1};
	next_check(&checks);
	play_begin(&play, script, rules, NULL, script_capacity(script), &replayed);
	play.acts = script->acts;
	check_acts(script, &play, &checks, agreement);
	agreement->refusal = replayed.fits;
	if (replayed.fits && script->refused_piece >= 0) {
		int32_t block;
		agreement->refusal =
		        !serve(&play, asked(&play, script->refused_piece), 0, -1,
		               script->pieces[script->refused_piece].taken, &block);
	}
	play_end(&play);
	if (checks.more)
		rows_free(checks.rows);
	agreement->agrees = agreement->refusal && !agreement->differing;
	if (rules->unknown)
		snprintf(agreement->why, sizeof(agreement->why), "%s", rules->unknown);
	else if (agreement->differing)
		snprintf(agreement->why, sizeof(agreement->why),
		         "the replay reserves other amounts than the run did, at %lld "
		         "of "
		         "%lld samples, first in step %d",
		         (long long)agreement->differing, (long long)agreement->samples,
		         (int)agreement->first_step);
	else if (!agreement->refusal)
		snprintf(agreement->why, sizeof(agreement->why),
		         "the replay runs out of memory at another request than the "
		         "run did");
}

void replay_load(struct trace *trace, const struct device *device, int64_t oom,
                 struct rules *rules, struct script *script,
                 struct agreement *agreement)
{
	struct rules other;

	rules_load(trace, device, rules);
	script_load(trace, device, oom, rules, script);
	check(trace, device, rules, script, agreement);
	if (agreement->agrees || !rules_otherwise(rules, script->total, &other))
		return;
	script_free(script);
	*rules = other;
	script_load(trace, device, oom, rules, script);
	check(trace, device, rules, script, agreement);
}
