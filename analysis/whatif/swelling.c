/* swelling.c - one block that is made anew, larger each time, at one line.
 * Called from: advice/scene.c, within.c. */
#include "swelling.h"

#include "match.h"

enum { TIMES = 5 }; /* in a row, each larger than the one before by about as much */

/* Is a piece the newest of a row that grows evenly? */
static bool swells(const struct places *places, const struct script *script,
                   int32_t newest, struct swelling *found)
{
	uint64_t key = match_key(places, script->pieces[newest].site, MATCH_LINE);
	int64_t last = piece_asked(&script->pieces[newest]), least = INT64_MAX,
	        most = 0;
	int times = 0;

	for (int32_t i = newest; key && i-- > 0 && times < TIMES;) {
		const struct piece *piece = &script->pieces[i];
		int64_t more = last - piece_asked(piece);
		if (match_key(places, piece->site, MATCH_LINE) != key)
			continue;
		if (more <= 0)
			return false;
		least = more < least ? more : least;
		most = more > most ? more : most;
		last = piece_asked(piece);
		times++;
	}
	if (times < TIMES || most > 2 * least + 4096)
		return false;
	*found = (struct swelling){
	        .newest = newest,
	        .bytes = script->pieces[newest].bytes,
	        .rate = (piece_asked(&script->pieces[newest]) - last) / times};
	for (int32_t i = 0; i <= newest; i++)
		found->times +=
		        match_key(places, script->pieces[i].site, MATCH_LINE) == key;
	return true;
}

void swelling_find(const struct places *places, const struct script *script,
                   struct swelling *swelling)
{
	enum { CANDIDATES = 12 };
	int32_t end = script->refused_piece >= 0 ? script->refused_piece + 1
	                                         : (int32_t)script->count;
	int tried = 0;
	int64_t largest = 0;

	*swelling = (struct swelling){.newest = -1};
	for (int32_t i = 0; i < end; i++)
		if (script->pieces[i].bytes > largest)
			largest = script->pieces[i].bytes;
	for (int32_t i = end; i-- > 0 && tried < CANDIDATES;) {
		const struct piece *piece = &script->pieces[i];
		bool there = piece->given < 0 || i == script->refused_piece;
		if (!there || piece->bytes < largest / 8 ||
		    piece->bucket == BUCKET_PARAMETER ||
		    piece->bucket == BUCKET_OPTIMIZER)
			continue;
		tried++;
		struct swelling found;
		if (swells(places, script, i, &found) && found.bytes > swelling->bytes)
			*swelling = found;
	}
}
