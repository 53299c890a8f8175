/* lines.c - what snapshot.py says, word by word: nothing of it is trusted.
 * Called from: import.c. */
#include "lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 1 << 14 };

void lines_wrong(struct lines *lines, const char *why)
{
	if (!lines->why)
		lines->why = why;
}

char lines_next(struct lines *lines)
{
	ssize_t length;

	if (lines->why)
		return 0;
	length = getline(&lines->text, &lines->room, lines->from);
	if (length <= 0)
		return 0;
	if (length < 2 || length > LONGEST || lines->text[length - 1] != '\n' ||
	    memchr(lines->text, 0, (size_t)length) || lines->text[1] != ' ') {
		lines_wrong(lines, "could not be read: its reader gave an answer of "
		                   "the wrong form");
		return 0;
	}
	lines->text[length - 1] = 0;
	lines->at = lines->text + 2;
	lines->count++;
	return lines->text[0];
}

int64_t lines_number(struct lines *lines, int64_t least, int64_t most)
{
	char *end;
	long long number;

	errno = 0;
	number = lines->at ? strtoll(lines->at, &end, 10) : 0;
	if (!lines->at || errno || end == lines->at || (*end && *end != ' ') ||
	    number < least || number > most) {
		lines_wrong(lines, "has a number that is not possible");
		return least;
	}
	lines->at = *end ? end + 1 : end;
	return number;
}

static int digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	                              : -1;
}

char *lines_rest(struct lines *lines)
{
	char *from = lines->at, *to = lines->at, *text = lines->at;

	while (*from) {
		int high = *from == '%' ? digit(from[1]) : -1;
		int low = high >= 0 ? digit(from[2]) : -1;
		*to++ = low > 0 || high > 0 ? (char)(high * 16 + low) : *from;
		from += low >= 0 ? 3 : 1;
	}
	*to = 0;
	lines->at = from;
	return text;
}

char *lines_word(struct lines *lines)
{
	char *word = lines->at;
	size_t length = strcspn(word, " ");

	lines->at += length + (word[length] == ' ');
	word[length] = 0;
	return word;
}

void lines_free(struct lines *lines)
{
	free(lines->text);
}
