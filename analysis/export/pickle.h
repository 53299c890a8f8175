/* pickle.h - writes one pickle as it goes, in the opcodes that PyTorch's web viewer reads too. */
#ifndef TIDEMARK_ANALYSIS_PICKLE_H
#define TIDEMARK_ANALYSIS_PICKLE_H

#include <stdint.h>
#include <stdio.h>

enum pickle_word {
#define WORD(name) WORD_##name,
#include "words.def"
#undef WORD
	PICKLE_WORD_COUNT
};

struct pickle {
	FILE *out;
	int64_t memos;
	int64_t word[PICKLE_WORD_COUNT]; /* its memo plus one; 0: not written yet */
};

void pickle_begin(struct pickle *pickle, FILE *out);
void pickle_end(struct pickle *pickle);

/* Keys and values in turn come between. */
void pickle_dict(struct pickle *pickle);
void pickle_dict_end(struct pickle *pickle);

/* Entries come between; pickle_list_more() before each, with a count that begins at 0. */
void pickle_list(struct pickle *pickle);
void pickle_list_more(struct pickle *pickle, int64_t *count);
void pickle_list_end(struct pickle *pickle);

void pickle_number(struct pickle *pickle, int64_t number);
void pickle_truth(struct pickle *pickle, int truth);
void pickle_text(struct pickle *pickle, const char *text);
void pickle_word(struct pickle *pickle, enum pickle_word word);

/* What was written last can be had again by the number that this returns. */
int64_t pickle_keep(struct pickle *pickle);
void pickle_again(struct pickle *pickle, int64_t memo);

#endif
