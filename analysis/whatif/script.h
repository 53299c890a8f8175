/* script.h - a run on one device as a sequence of acts: pieces of memory taken and given
 * back, in order, which can be edited and replayed (replayed.h). Folded steps are told in
 * full. */
#ifndef TIDEMARK_ANALYSIS_SCRIPT_H
#define TIDEMARK_ANALYSIS_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "piece.h"
#include "rules.h"
#include "trace.h"

/* What happens at a position: piece >= 0 is taken; ~piece is given back; ACT_EMPTY is
 * empty_cache(), ACT_REFUSED the refusal that is asked about. ACT_OWN: the allocator
 * collected before the request that follows (garbage_collection_threshold), as the model does by
 * itself. */
enum { ACT_EMPTY = INT32_MIN, ACT_REFUSED, ACT_OWN };

/* Is a piece taken or given back? */
static inline bool act_moves(int32_t act)
{
	return act > ACT_OWN;
}

struct stretch {
	int32_t step;  /* number */
	int32_t first; /* its first act */
	bool complete;
};

struct script {
	struct piece *pieces;
	size_t count, room;
	int32_t *acts;
	size_t act_count, act_room;
	struct stretch *steps; /* in order; those that are forecast follow the last */
	size_t step_count, step_room;
	int64_t total;   /* bytes of the device; -1: not known */
	int64_t outside; /* of it, what is not PyTorch's: context, other processes; -1 */
	int64_t limit;   /* the memory fraction in bytes; INT64_MAX: none */
	int32_t refused_piece; /* what was refused, as a piece that was taken; -1: none */
	const char *incomplete; /* why it does not tell all; NULL: it does */
};

/* Up to a refusal (row of table oom; its request is then the last act, as a piece, taken
 * after ACT_REFUSED), or with -1 the whole run. A long run keeps its first steps, those
 * that differ, and its last ones: what a folded step leaves alive is kept in any case. */
void script_load(struct trace *trace, const struct device *device, int64_t oom,
                 const struct rules *rules, struct script *script);
void script_free(struct script *script);

/* For forecasts, all appended at the end: a step begins; a piece is taken (its `taken`,
 * `given` are set; the index is returned); it is given back. */
void script_begin(struct script *script, int32_t step);
int32_t script_take(struct script *script, struct piece piece);
void script_give(struct script *script, int32_t piece);

/* The act after a step's last one. */
static inline int32_t script_step_end(const struct script *script, size_t step)
{
	return step + 1 < script->step_count ? script->steps[step + 1].first
	                                     : (int32_t)script->act_count;
}

/* The step that an act is in, at `step` or after it. */
static inline size_t script_step_of(const struct script *script, int32_t act,
                                    size_t step)
{
	while (step + 1 < script->step_count && script->steps[step + 1].first <= act)
		step++;
	return step;
}

/* The step (index) that was refused; the last where none was, 0 where there is none. */
static inline size_t script_refused(const struct script *script)
{
	int32_t refused = script->refused_piece;
	size_t step = script->step_count;

	while (step > 1 && refused >= 0 &&
	       script->steps[step - 1].first > script->pieces[refused].taken)
		step--;
	return step ? step - 1 : 0;
}

/* Bytes that PyTorch may have of the device. */
static inline int64_t script_capacity(const struct script *script)
{
	int64_t room = INT64_MAX;

	if (script->total >= 0)
		room = script->total - (script->outside > 0 ? script->outside : 0);
	return script->limit < room ? script->limit : room;
}

#endif
