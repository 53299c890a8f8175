/* within.c - what grows inside one step: a loop whose turns keep what they make.
 * Called from: commands/findings.c, commands/leaks.c, compare/judge.c. */
#include "within.h"

#include <stdlib.h>

#include "match.h"
#include "script.h"
#include "swelling.h"
#include "turns.h"

/* Bytes of turns that are over and that no backward gave back. */
static int64_t kept_for_good(const struct script *script, const struct turns *turns,
                             int32_t to)
{
	int64_t bytes = 0;

	for (size_t i = 0; i < script->count && script->pieces[i].taken < to; i++) {
		const struct piece *piece = &script->pieces[i];
		int turn = turns_of(turns, piece);
		if (turn >= 0 && (size_t)turn + 1 < turns->count &&
		    (piece->given < 0 ||
		     (piece->given >= to && piece->phase_given != PHASE_BACKWARD)))
			bytes += piece->bytes;
	}
	return bytes;
}

/* Did a complete step make something at the place where a turn begins? */
static bool usual(const struct places *places, const struct script *script, int32_t act,
                  size_t before)
{
	int32_t piece = script->acts[act];
	uint64_t key =
	        piece >= 0 ? match_key(places, script->pieces[piece].site, MATCH_LINE)
	                   : 0;

	for (size_t s = 0; key && s < before; s++)
		for (int32_t at = script->steps[s].first;
		     script->steps[s].complete && at < script_step_end(script, s); at++)
			if (script->acts[at] >= 0 &&
			    match_key(places, script->pieces[script->acts[at]].site,
			              MATCH_LINE) == key)
				return true;
	return false;
}

static int64_t room_left(const struct script *script, int32_t act)
{
	int64_t now = 0;

	if (script->total < 0)
		return -1;
	for (int32_t at = 0; at < act; at++) {
		int32_t what = script->acts[at];
		if (!act_moves(what))
			continue;
		now += what >= 0 ? script->pieces[what].bytes
		                 : -script->pieces[~what].bytes;
	}
	return script->total - (script->outside > 0 ? script->outside : 0) - now;
}

static bool look(const struct places *places, const struct script *script, size_t step,
                 struct within *within)
{
	enum { TURNS = 3, LEAST = 1 << 20 };
	int32_t from = script->steps[step].first, to = script_step_end(script, step);
	struct turns turns;
	int64_t left, kept = 0;

	turns_find(places, script, from, to, &turns);
	if (turns.count >= TURNS && turns.newest >= 0)
		kept = kept_for_good(script, &turns, to);
	if (kept < LEAST || usual(places, script, turns.begin[0], step)) {
		turns_free(&turns);
		return false;
	}
	left = room_left(script, to);
	*within = (struct within){.step = script->steps[step].step,
	                          .turns = (int64_t)turns.count,
	                          .kept = kept,
	                          .rate = kept / (int64_t)(turns.count - 1),
	                          .site = script->pieces[turns.newest].site,
	                          .gradients = turns.gradients,
	                          .refused = script->refused_piece >= 0 &&
	                                     step + 1 == script->step_count,
	                          .full = -1};
	if (left >= 0 && within->rate > 0)
		within->full = within->turns + left / within->rate + !within->refused;
	turns_free(&turns);
	return true;
}

void within_find(struct trace *trace, const struct places *places,
                 const struct device *device, struct within *within)
{
	int64_t refused = rows_first(db_rows(trace->db,
	                                     "SELECT max(id) FROM oom WHERE device = ?",
	                                     "i", device->id),
	                             0);
	struct swelling swelling;
	struct rules rules;
	struct script script;

	*within = (struct within){.site = -1, .full = -1};
	rules_load(trace, device, &rules);
	script_load(trace, device, refused > 0 ? refused : -1, &rules, &script);
	for (size_t s = script.step_count; s-- > 0;)
		if (look(places, &script, s, within))
			break;
	swelling_find(places, &script, &swelling);
	if (swelling.newest >= 0) {
		within->swells = swelling.bytes;
		within->swells_by = swelling.rate;
		within->swells_site = script.pieces[swelling.newest].site;
	}
	script_free(&script);
}
