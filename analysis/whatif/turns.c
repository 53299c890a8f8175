/* turns.c - a loop inside one step: several forwards without a backward between them.
 *
 * A turn begins with a place that comes back at regular distances, with the same places in
 * between: layers of a model come back under other modules' names, and are none.
 * Called from: advice/, whatif/. */
#include "turns.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "heap.h"
#include "match.h"

static bool computes(const struct piece *piece)
{
	return piece->phase == PHASE_FORWARD || piece->phase == PHASE_DATA ||
	       piece->phase == PHASE_EVAL || piece->phase == PHASE_OTHER;
}

struct occurrence {
	int32_t *pieces;
	size_t count, room;
};

static struct occurrence all_of(const struct places *places,
                                const struct script *script, uint64_t key,
                                int32_t first, int32_t end)
{
	struct occurrence found = {0};

	for (int32_t i = first; i < end; i++) {
		if (match_key(places, script->pieces[i].site, MATCH_LINE) != key)
			continue;
		found.pieces = grow(found.pieces, found.count, &found.room,
		                    sizeof(*found.pieces));
		found.pieces[found.count++] = i;
	}
	return found;
}

/* Are the places of two stretches of pieces mostly the same? */
static bool repeats(const struct places *places, const struct script *script,
                    int32_t first, int32_t middle, int32_t end)
{
	int32_t *found, same = 0, count = end - middle;

	if (middle - first < 2 || count * 5 < (middle - first) * 4 ||
	    count * 4 > (middle - first) * 5)
		return false;
	found = match_pieces(places, script, middle, end, first, middle, MATCH_LINE);
	for (int32_t i = 0; i < count; i++)
		same += found[i] >= 0;
	free(found);
	return same * 5 >= count * 4;
}

static bool is_loop(const struct places *places, const struct script *script,
                    const struct occurrence *at, int32_t end)
{
	if (at->count < 2)
		return false;
	if (at->count == 2) /* the second turn is under way: it has come half as far */
		return (end - at->pieces[1]) * 2 >= at->pieces[1] - at->pieces[0] &&
		       repeats(places, script, at->pieces[0],
		               at->pieces[0] + (end - at->pieces[1]), end);
	for (size_t i = 2; i < at->count && i < 6; i++)
		if (!repeats(places, script, at->pieces[i - 2], at->pieces[i - 1],
		             at->pieces[i]))
			return false;
	return true;
}

int turns_of(const struct turns *turns, const struct piece *piece)
{
	size_t low = 0, high = turns->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (turns->begin[middle] <= piece->taken)
			low = middle + 1;
		else
			high = middle;
	}
	return (int)low - 1;
}

/* A floating number of no dimensions. */
static bool is_number(const struct site *site)
{
	return site && site->shape && !strcmp(site->shape, "[]") && site->dtype &&
	       strstr(site->dtype, "float");
}

/* Weights and states stay where they are, and so do the gradients of the first turn: the later
 * ones are added to them, and where they are not, these are more. */
bool turns_leaves(const struct piece *piece, int turn)
{
	return piece_computed(piece) || (piece->bucket == BUCKET_GRADIENT && turn > 0);
}

static void sum_up(const struct places *places, const struct script *script,
                   int32_t first, int32_t end, int32_t to, struct turns *turns)
{
	int64_t kept = 0, saved = 0;

	turns->newest = -1;
	for (int32_t i = first; i < end; i++) {
		const struct piece *piece = &script->pieces[i];
		int turn = turns_of(turns, piece);
		bool alive = piece->given < 0 || piece->given >= to;
		if (piece->phase == PHASE_FORWARD &&
		    is_number(places_site(places, piece->site)))
			turns->losses = true;
		if (!alive || turn < 0 || (size_t)turn + 1 >= turns->count ||
		    !turns_leaves(piece, turn))
			continue;
		kept += piece->bytes;
		if (piece->bucket == BUCKET_ACTIVATION && piece->phase == PHASE_FORWARD)
			saved += piece->bytes;
		/* Of the last turn that is over: it is what the program holds. */
		if ((size_t)turn + 2 == turns->count)
			turns->newest = i;
	}
	turns->kept = kept;
	turns->rate = kept / (int64_t)(turns->count - 1);
	turns->gradients = saved * 2 > kept;
}

void turns_find(const struct places *places, const struct script *script, int32_t from,
                int32_t to, struct turns *turns)
{
	int32_t first, end = (int32_t)script->count, tried = 0;

	*turns = (struct turns){.newest = -1};
	while (end > 0 && script->pieces[end - 1].taken >= to)
		end--;
	for (first = end; first > 0 && script->pieces[first - 1].taken >= from;)
		first--;
	/* After the last backward. */
	for (int32_t i = first; i < end; i++)
		if (script->pieces[i].phase == PHASE_BACKWARD ||
		    script->pieces[i].phase == PHASE_OPTIMIZER)
			first = i + 1;
	for (int32_t i = first; i < end && tried < 64; i++) {
		struct occurrence at;
		if (!computes(&script->pieces[i]))
			continue;
		at = all_of(places, script,
		            match_key(places, script->pieces[i].site, MATCH_LINE), i,
		            end);
		tried++;
		if (!is_loop(places, script, &at, end)) {
			free(at.pieces);
			continue;
		}
		for (size_t k = 0; k < at.count; k++)
			at.pieces[k] = script->pieces[at.pieces[k]].taken;
		turns->begin = at.pieces;
		turns->count = at.count;
		sum_up(places, script, first, end, to, turns);
		return;
	}
}

void turns_of_backwards(const struct places *places, const struct script *script,
                        int32_t from, int32_t to, struct turns *turns)
{
	int32_t first = 0, end = (int32_t)script->count;
	size_t room = 0;
	bool went_back = true;

	*turns = (struct turns){.newest = -1};
	while (end > 0 && script->pieces[end - 1].taken >= to)
		end--;
	while (first < end && script->pieces[first].taken < from)
		first++;
	for (int32_t i = first; i < end; i++) {
		enum phase_id phase = script->pieces[i].phase;
		if (phase == PHASE_BACKWARD) {
			went_back = true;
		} else if (went_back && phase == PHASE_FORWARD) {
			went_back = false;
			turns->begin = grow(turns->begin, turns->count, &room,
			                    sizeof(*turns->begin));
			turns->begin[turns->count++] = script->pieces[i].taken;
		}
	}
	if (turns->count > 1)
		sum_up(places, script, first, end, to, turns);
}

void turns_free(struct turns *turns)
{
	free(turns->begin);
}
