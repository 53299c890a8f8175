/* nearest.c - which known word somebody meant: "did you mean".
 * Called from: answers/, formula/, options/, run/. */
#include "nearest.h"

#include <string.h>

static int smallest(int a, int b, int c)
{
	int least = a < b ? a : b;
	return least < c ? least : c;
}

int word_distance(const char *a, const char *b)
{
	enum { LONGEST = 40 };
	int row[LONGEST + 1];
	int wide = (int)strnlen(b, LONGEST);

	for (int i = 0; i <= wide; i++)
		row[i] = i;
	for (int r = 1; a[r - 1]; r++) {
		int corner = row[0];
		row[0] = r;
		for (int c = 1; c <= wide; c++) {
			int above = row[c];
			row[c] = smallest(above + 1, row[c - 1] + 1,
			                  corner + (a[r - 1] != b[c - 1]));
			corner = above;
		}
	}
	return row[wide];
}

bool word_is_close(const char *typed, const char *name, int *best)
{
	int distance = word_distance(typed, name);
	if (strlen(typed) >= 2 && !strncmp(typed, name, strlen(typed)))
		distance = 1;
	if (distance >= *best || distance >= (int)strlen(name))
		return false;
	*best = distance;
	return true;
}
