/* match.c - which pieces of two stretches of a script come from the same place.
 *
 * The n-th allocation of a place in one stretch is the n-th of that place in the other:
 * where threads interleave differently, or one stretch has more turns of a loop, the others
 * still find each other.
 * Called from: advice/, whatif/. */
#include "match.h"

#include <stdlib.h>

#include "heap.h"

struct entry {
	uint64_t key;
	int32_t piece;
};

uint64_t match_key(const struct places *places, int64_t id, enum match_level level)
{
	const struct site *site = places_site(places, id);

	if (!site)
		return 0;
	return level == MATCH_LINE    ? site->by_line
	       : level == MATCH_STACK ? site->by_stack
	                              : site->by_module;
}

static int by_key(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return a->piece < b->piece ? -1 : a->piece > b->piece;
}

bool match_once(const struct piece *piece)
{
	return piece->bucket == BUCKET_WORKSPACE && piece->given < 0;
}

static struct entry *sorted(const struct places *places, const struct script *script,
                            int32_t first, int32_t end, enum match_level level,
                            size_t *count)
{
	struct entry *entries = allocate((size_t)(end - first + 1) * sizeof(*entries));

	*count = 0;
	for (int32_t i = first; i < end; i++)
		if (!match_once(&script->pieces[i]))
			entries[(*count)++] = (struct entry){
			        match_key(places, script->pieces[i].site, level), i};
	qsort(entries, *count, sizeof(*entries), by_key);
	return entries;
}

int32_t *match_pieces(const struct places *places, const struct script *script,
                      int32_t first, int32_t end, int32_t from, int32_t to,
                      enum match_level level)
{
	size_t here, there, a = 0, b = 0;
	struct entry *mine = sorted(places, script, first, end, level, &here);
	struct entry *theirs = sorted(places, script, from, to, level, &there);
	int32_t *found = allocate((size_t)(end - first + 1) * sizeof(*found));

	for (int32_t i = first; i < end; i++)
		found[i - first] = -1;
	while (a < here && b < there) {
		if (mine[a].key < theirs[b].key) {
			a++;
		} else if (mine[a].key > theirs[b].key) {
			b++;
		} else {
			if (mine[a].key)
				found[mine[a].piece - first] = theirs[b].piece;
			a++, b++;
		}
	}
	free(mine);
	free(theirs);
	return found;
}
