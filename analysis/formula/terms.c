/* terms.c - what the terms of the formula are made with: products that remember an
 * overflow, and a term's text.
 * Called from: formula/. */
#include "terms.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int64_t formula_product(struct formula *formula, int64_t a, int64_t b)
{
	int64_t product;
	if (!__builtin_mul_overflow(a, b, &product))
		return product;
	formula->overflow = true;
	return 0;
}

int64_t formula_sum(struct formula *formula, int64_t a, int64_t b)
{
	int64_t sum;
	if (!__builtin_add_overflow(a, b, &sum))
		return sum;
	formula->overflow = true;
	return 0;
}

int64_t formula_bits(struct formula *formula, int64_t elements, int bits)
{
	__int128 bytes = ((__int128)elements * bits + 7) / 8;
	if (bytes <= INT64_MAX)
		return (int64_t)bytes;
	formula->overflow = true;
	return 0;
}

struct formula_term *formula_term(struct formula *formula, enum formula_bucket bucket,
                                  int64_t bytes, const char *source, const char *name,
                                  ...)
{
	va_list arguments;
	struct formula_term *term;

	if (formula->count == FORMULA_TERMS) {
		formula->overflow = true; /* the table above is sized for all of them */
		formula->count--;
	}
	term = &formula->terms[formula->count++];
	memset(term, 0, sizeof(*term));
	term->bucket = bucket;
	term->bytes = bytes;
	term->source = source;
	va_start(arguments, name);
	vsnprintf(term->name, sizeof(term->name), name, arguments);
	va_end(arguments);
	return term;
}

struct formula_term *formula_known_term(struct formula *formula,
                                        enum formula_bucket bucket, int64_t bytes,
                                        const char *source, enum term_id id)
{
	static const char *const names[] = {
#define TERM(id, name) [TERM_##id] = name,
#include "terms.def"
#undef TERM
	};
	struct formula_term *made =
	        formula_term(formula, bucket, bytes, source, "%s", names[id]);
	made->id = id;
	return made;
}

void formula_text(struct formula_term *term, const char *formula, const char *numbers,
                  ...)
{
	va_list arguments;
	snprintf(term->formula, sizeof(term->formula), "%s", formula);
	va_start(arguments, numbers);
	vsnprintf(term->numbers, sizeof(term->numbers), numbers, arguments);
	va_end(arguments);
}
