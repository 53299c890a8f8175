/* cards.c - how much memory a device has. */
#include "cards.h"

#include <ctype.h>
#include <string.h>

#include "options.h"

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

const struct card *card_find(const char *name, const char **nearest)
{
	char typed[40], known[40];
	int best = 1000;

	squeeze(name, typed, sizeof(typed));
	for (int i = 0; i < CARDS; i++) {
		int distance, common = 0;
		squeeze(cards[i].name, known, sizeof(known));
		if (!strcmp(typed, known))
			return &cards[i];
		while (typed[common] && typed[common] == known[common])
			common++;
		distance = 2 * word_distance(typed, known) - 3 * common;
		if (*typed && strstr(known, typed))
			distance = -100;
		if (distance < best) {
			best = distance;
			*nearest = cards[i].name;
		}
	}
	return NULL;
}
