/* lines.h - what snapshot.py says, word by word: nothing of it is trusted. */
#ifndef TIDEMARK_ANALYSIS_LINES_H
#define TIDEMARK_ANALYSIS_LINES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct lines {
	FILE *from;
	char *text; /* the line, and where in it the next word begins */
	char *at;
	size_t room;
	int64_t count;   /* lines that were read */
	const char *why; /* NULL, or the end of a sentence: what was wrong */
};

/* The kind of the next line, its first character; 0 at the end, also where something is wrong. */
char lines_next(struct lines *lines);

/* The next number of the line, from least to most; a wrong one sets why and is least. */
int64_t lines_number(struct lines *lines, int64_t least, int64_t most);

/* The rest of the line, or with word its next word, unescaped; in the line's own space. */
char *lines_rest(struct lines *lines);
char *lines_word(struct lines *lines);

void lines_wrong(struct lines *lines, const char *why);
void lines_free(struct lines *lines);

#endif
