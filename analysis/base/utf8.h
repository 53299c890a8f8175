/* utf8.h - texts from anywhere, as the UTF-8 that other programs ask for. */
#ifndef TIDEMARK_ANALYSIS_UTF8_H
#define TIDEMARK_ANALYSIS_UTF8_H

/* Length in bytes of the well-formed sequence at s, or 0. Overlong forms, surrogates and what
 * lies past U+10FFFF are refused: strict parsers refuse them too. */
int utf8_sequence(const unsigned char *s);

/* The text with U+FFFD for each byte that is not UTF-8; NULL is "". The caller's. */
char *utf8_clean(const char *text);

#endif
