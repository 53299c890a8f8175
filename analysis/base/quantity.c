/* quantity.c - numbers as people type them, read exactly: "1.1e8" is 110,000,000.
 * Called from: commands/, plan/, run/. */
#include "quantity.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
	const char *suffix;
	int tens; /* power of ten, or */
	int twos; /* power of two */
};

/* Splits "1.5e3GB" into digits and a unit. false: it is no decimal number. */
static const char *digits(const char *text, int *length, int *exponent)
{
	int at = 0, seen = 0;

	*exponent = 0;
	for (; isdigit((unsigned char)text[at]) || text[at] == '.'; at++)
		seen += text[at] != '.';
	if (!seen || at > 40 ||
	    memchr(text, '.', (size_t)at) != memrchr(text, '.', (size_t)at))
		return NULL;
	*length = at;
	if (text[at] == 'e' || text[at] == 'E') {
		char *end;
		long power;
		if (!isdigit((unsigned char)text[at + 1]) && text[at + 1] != '+' &&
		    text[at + 1] != '-')
			return NULL;
		power = strtol(text + at + 1, &end, 10);
		if (end == text + at + 1 || !isdigit((unsigned char)end[-1]))
			return NULL;
		*exponent = power > 99 ? 99 : power < -99 ? -99 : (int)power;
		return end;
	}
	return text + at;
}

/* The exponent joins the digits before they become a number, so nothing is rounded. */
static enum quantity scaled(const char *text, int length, int tens, int twos,
                            bool whole, int64_t *value)
{
	char decimal[64];
	long double number;

	snprintf(decimal, sizeof(decimal), "%.*se%d", length, text, tens);
	number = ldexpl(strtold(decimal, NULL), twos);
	if (number >= 9223372036854775807.0L)
		return QUANTITY_HUGE;
	if (whole && number != floorl(number))
		return QUANTITY_FRACTION;
	*value = (int64_t)roundl(number);
	return QUANTITY_GOOD;
}

static enum quantity with_unit(const char *text, const struct unit *units, bool whole,
                               int64_t *value)
{
	int length, exponent;
	const char *rest = digits(text, &length, &exponent);

	if (!rest)
		return QUANTITY_NONSENSE;
	while (*rest == ' ')
		rest++;
	for (; units->suffix; units++)
		if (!strcasecmp(rest, units->suffix))
			return scaled(text, length, exponent + units->tens, units->twos,
			              whole, value);
	return QUANTITY_NONSENSE;
}

enum quantity quantity_count(const char *text, int64_t *value)
{
	static const struct unit units[] = {{"", 0, 0},  {"k", 3, 0}, {"m", 6, 0},
	                                    {"b", 9, 0}, {"g", 9, 0}, {"t", 12, 0},
	                                    {NULL, 0, 0}};
	return with_unit(text, units, true, value);
}

enum quantity quantity_size(const char *text, int64_t *value)
{
	static const struct unit units[] = {
	        {"", 0, 0},     {"b", 0, 0},    {"kb", 3, 0},   {"mb", 6, 0},
	        {"gb", 9, 0},   {"tb", 12, 0},  {"k", 0, 10},   {"m", 0, 20},
	        {"g", 0, 30},   {"t", 0, 40},   {"kib", 0, 10}, {"mib", 0, 20},
	        {"gib", 0, 30}, {"tib", 0, 40}, {NULL, 0, 0}};
	return with_unit(text, units, false, value);
}

enum quantity quantity_factor(const char *text, int64_t *millionths)
{
	int length, exponent;
	const char *rest = digits(text, &length, &exponent);

	if (!rest || *rest)
		return QUANTITY_NONSENSE;
	return scaled(text, length, exponent + 6, 0, false, millionths);
}
