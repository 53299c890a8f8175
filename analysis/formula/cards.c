/* cards.c - how much memory a device has.
 * Called from: measure/measure.c, plan/options.c, run/profile.c. */
#include "cards.h"

#include <ctype.h>
#include <string.h>

#include "nearest.h"

static const struct card cards[] = {
#define CARD(name, bytes, source) {name, bytes, source},
#include "cards.def"
#undef CARD
};
enum { CARDS = sizeof(cards) / sizeof(cards[0]) };

const struct card *card_at(int index)
{
	return index < CARDS ? &cards[index] : NULL;
}

/* Letters and digits alone, in lower case: what two spellings have in common. */
static void squeeze(const char *name, char *small, size_t size)
{
	size_t length = 0;
	if (!strncasecmp(name, "nvidia ", 7))
		name += 7;
	for (; *name && length < size - 1; name++)
		if (isalnum((unsigned char)*name))
			small[length++] = (char)tolower((unsigned char)*name);
	small[length] = 0;
}

bool card_same(const char *a, const char *b)
{
	char one[40], other[40];
	squeeze(a, one, sizeof(one));
	squeeze(b, other, sizeof(other));
	return *one && !strcmp(one, other);
}

int card_distance(const char *name, const char *card)
{
	char typed[40], known[40];
	int common = 0;

	squeeze(name, typed, sizeof(typed));
	squeeze(card, known, sizeof(known));
	if (*typed && strstr(known, typed))
		return -100;
	while (typed[common] && typed[common] == known[common])
		common++;
	return 2 * word_distance(typed, known) - 3 * common;
}

const struct card *card_find(const char *name, const char **nearest)
{
	int best = 1000;

	for (int i = 0; i < CARDS; i++) {
		int distance = card_distance(name, cards[i].name);
		if (card_same(name, cards[i].name))
			return &cards[i];
		if (distance < best) {
			best = distance;
			*nearest = cards[i].name;
		}
	}
	return NULL;
}
