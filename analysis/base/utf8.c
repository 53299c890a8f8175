/* utf8.c - texts from anywhere, as the UTF-8 that other programs ask for.
 * Called from: base/, compare/, export/. */
#include "utf8.h"

#include <string.h>

#include "heap.h"

int utf8_sequence(const unsigned char *s)
{
	int length = s[0] < 0x80                   ? 1
	             : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
	             : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
	             : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
	                                           : 0;
	for (int i = 1; i < length; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return length;
}

char *utf8_clean(const char *text)
{
	const unsigned char *s = (const unsigned char *)(text ? text : "");
	char *clean = allocate(3 * strlen((const char *)s) + 1), *at = clean;

	while (*s) {
		int length = utf8_sequence(s);
		memcpy(at, length ? (const char *)s : "\xef\xbf\xbd",
		       length ? (size_t)length : 3);
		at += length ? length : 3;
		s += length ? length : 1;
	}
	return clean;
}
