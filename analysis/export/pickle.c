/* pickle.c - writes one pickle as it goes, in the opcodes that PyTorch's web viewer reads too.
 *
 * Protocol 4 of Lib/pickletools.py. Of its opcodes torch/utils/viz/MemoryViz.js knows those for
 * dicts, lists, texts, whole numbers and references, without bytes, classes and frames longer than
 * the file; it adds up to a batch of entries with one call, so that a batch is kept small.
 * Called from: memory_viz.c. */
#include "pickle.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "utf8.h"

enum { BATCH = 1000 };

static const char *const texts[] = {
#define WORD(name) #name,
#include "words.def"
#undef WORD
};

static void put(struct pickle *pickle, char opcode, uint64_t value, int bytes)
{
	fputc(opcode, pickle->out);
	for (int i = 0; i < bytes; i++)
		fputc((int)(value >> 8 * i & 0xff), pickle->out);
}

void pickle_begin(struct pickle *pickle, FILE *out)
{
	*pickle = (struct pickle){.out = out};
	put(pickle, '\x80', 4, 1); /* PROTO */
}

void pickle_end(struct pickle *pickle)
{
	fputc('.', pickle->out); /* STOP */
}

void pickle_dict(struct pickle *pickle)
{
	fputs("}(", pickle->out); /* EMPTY_DICT, MARK */
}

void pickle_dict_end(struct pickle *pickle)
{
	fputc('u', pickle->out); /* SETITEMS */
}

void pickle_list(struct pickle *pickle)
{
	fputs("](", pickle->out); /* EMPTY_LIST, MARK */
}

void pickle_list_more(struct pickle *pickle, int64_t *count)
{
	if (*count && *count % BATCH == 0)
		fputs("e(", pickle->out); /* APPENDS, MARK */
	++*count;
}

void pickle_list_end(struct pickle *pickle)
{
	fputc('e', pickle->out);
}

void pickle_number(struct pickle *pickle, int64_t number)
{
	if (number >= 0 && number <= 0xff)
		put(pickle, 'K', (uint64_t)number, 1); /* BININT1 */
	else if (number >= 0 && number <= 0xffff)
		put(pickle, 'M', (uint64_t)number, 2); /* BININT2 */
	else if (number >= INT32_MIN && number <= INT32_MAX)
		put(pickle, 'J', (uint64_t)number, 4); /* BININT */
	else {
		put(pickle, '\x8a', 8, 1); /* LONG1 */
		for (int i = 0; i < 8; i++)
			fputc((int)((uint64_t)number >> 8 * i & 0xff), pickle->out);
	}
}

void pickle_truth(struct pickle *pickle, int truth)
{
	fputc(truth ? '\x88' : '\x89', pickle->out); /* NEWTRUE, NEWFALSE */
}

void pickle_text(struct pickle *pickle, const char *text)
{
	char *clean = utf8_clean(text);
	size_t length = strlen(clean);

	if (length <= 0xff)
		put(pickle, '\x8c', length, 1); /* SHORT_BINUNICODE */
	else
		put(pickle, 'X', length, 4); /* BINUNICODE */
	fwrite(clean, 1, length, pickle->out);
	free(clean);
}

void pickle_word(struct pickle *pickle, enum pickle_word word)
{
	if (pickle->word[word]) {
		pickle_again(pickle, pickle->word[word] - 1);
		return;
	}
	pickle_text(pickle, texts[word]);
	pickle->word[word] = pickle_keep(pickle) + 1;
}

int64_t pickle_keep(struct pickle *pickle)
{
	int64_t memo = pickle->memos++;

	if (memo <= 0xff)
		put(pickle, 'q', (uint64_t)memo, 1); /* BINPUT */
	else
		put(pickle, 'r', (uint64_t)memo, 4); /* LONG_BINPUT */
	return memo;
}

void pickle_again(struct pickle *pickle, int64_t memo)
{
	if (memo <= 0xff)
		put(pickle, 'h', (uint64_t)memo, 1); /* BINGET */
	else
		put(pickle, 'j', (uint64_t)memo, 4); /* LONG_BINGET */
}
