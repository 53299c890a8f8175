/* cards.c - how much memory a card has, and which card a name means.
 * Called from: commands/, compare/, plan/, reconcile/, run/. */
#include "cards.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "nearest.h"
#include "text.h"

static const struct card cards[] = {
#define CARD(name, product, aliases, bytes, source, date, capability, context_mib,     \
             major, multiprocessors, threads)                                          \
	{name,                                                                         \
	 product,                                                                      \
	 aliases,                                                                      \
	 bytes,                                                                        \
	 source,                                                                       \
	 date,                                                                         \
	 capability,                                                                   \
	 (int64_t)(context_mib) << 20,                                                 \
	 {major, multiprocessors, threads}},
#include "cards.def"
#undef CARD
};
enum { CARDS = sizeof(cards) / sizeof(cards[0]) };
enum { SMALL = 64 }; /* room for a name without its signs; the longest has 46 */

const struct card *card_at(int index)
{
	return index < CARDS ? &cards[index] : NULL;
}

/* What two spellings of a name have in common: letters and digits in lower case, without the
 * words that only say whose it is. */
static void squeeze(const char *name, size_t length, char small[SMALL])
{
	static const char *const words[] = {"nvidia", "geforce", "tesla", "rtx"};
	size_t used = 0;

	for (size_t i = 0; i < length && used < SMALL - 1; i++)
		if (isalnum((unsigned char)name[i]))
			small[used++] = (char)tolower((unsigned char)name[i]);
	small[used] = 0;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t word = strlen(words[i]);
		if (!strncmp(small, words[i], word))
			memmove(small, small + word, strlen(small + word) + 1);
	}
}

static bool same(const char *typed, const char *known, size_t length)
{
	char small[SMALL];

	squeeze(known, length, small);
	return *typed && !strcmp(typed, small);
}

static bool goes_by(const struct card *card, const char *typed)
{
	const char *alias = card->aliases;

	if (same(typed, card->name, strlen(card->name)) ||
	    same(typed, card->product, strlen(card->product)))
		return true;
	for (; *alias; alias += strspn(alias, ",")) {
		size_t length = strcspn(alias, ",");
		if (same(typed, alias, length))
			return true;
		alias += length;
	}
	return false;
}

/* How far a typed name is from a card's; lower is closer. */
static int distance(const char *typed, const char *card)
{
	char known[SMALL];
	int common = 0;

	squeeze(card, strlen(card), known);
	if (*typed && strstr(known, typed))
		return -100;
	while (typed[common] && typed[common] == known[common])
		common++;
	return 2 * word_distance(typed, known) - 3 * common;
}

/* "'a', 'b' or 'c'" */
static char *listed(const int *which, int count, const char *last)
{
	char *text = copy_text("");

	for (int i = 0; i < count; i++) {
		const char *between = !i ? "" : i < count - 1 ? ", " : last;
		char *longer =
		        format_text("%s%s'%s'", text, between, cards[which[i]].name);
		free(text);
		text = longer;
	}
	return text;
}

static char *close_ones(const char *typed)
{
	int which[3], count = 0;

	for (; count < 3; count++) {
		int best = -1;
		for (int i = 0; i < CARDS; i++) {
			bool taken = false;
			for (int n = 0; n < count; n++)
				taken |= which[n] == i;
			if (!taken &&
			    (best < 0 || distance(typed, cards[i].name) <
			                         distance(typed, cards[best].name)))
				best = i;
		}
		which[count] = best;
	}
	return listed(which, count, " or ");
}

enum card_answer card_find(const char *name, const struct card **card, char **names)
{
	char typed[SMALL];
	int which[CARDS], count = 0;

	squeeze(name, strlen(name), typed);
	for (int i = 0; i < CARDS; i++)
		if (goes_by(&cards[i], typed))
			which[count++] = i;
	if (count == 1) {
		*card = &cards[which[0]];
		return CARD_KNOWN;
	}
	*names = count ? listed(which, count, " and ") : close_ones(typed);
	return count ? CARD_SEVERAL : CARD_UNKNOWN;
}

void cards_print(FILE *out)
{
	static const char *const heads[] = {"card", "memory", "compute", "name"};
	struct table *table = table_new("<>>~");

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		table_cell(table, PLAIN, "%s", heads[i]);
	for (int i = 0; i < CARDS; i++) {
		const struct card *card = &cards[i];
		table_cell(table, BOLD, "%s", card->name);
		table_cell(table, PLAIN, "%s", text_size(card->bytes).s);
		table_cell(table, PLAIN, "%s",
		           *card->capability ? card->capability : "-");
		table_cell(table, PLAIN, "%s", card->product);
	}
	table_print(table, out, 2, true);
	table_free(table);
}

struct silicon card_silicon(const char *name)
{
	struct silicon silicon = {.major = 0};
	const struct card *card;
	char *names = NULL;

	if (name && card_find(name, &card, &names) == CARD_KNOWN)
		silicon = card->silicon;
	free(names);
	return silicon;
}
