/* values.c - the values of options that name a thing, a count or a size.
 * Called from: plan/, reconcile/. */
#include "values.h"

#include <stdio.h>
#include <string.h>

#include "fail.h"
#include "nearest.h"
#include "quantity.h"

int plan_choice(const struct options *options, enum option_id id,
                const char *const *names, int count)
{
	const char *value = options->value[id], *nearest = NULL;
	char list[256] = "";
	int best = 3;

	if (!value)
		return -1;
	for (int i = 0; i < count; i++) {
		int distance = word_distance(value, names[i]);
		size_t length = strlen(list);
		if (!strcmp(value, names[i]))
			return i;
		if (distance < best && distance < (int)strlen(names[i])) {
			best = distance;
			nearest = names[i];
		}
		snprintf(list + length, sizeof(list) - length, "%s%s", i ? ", " : "",
		         names[i]);
	}
	if (nearest)
		fail(STATUS_USAGE, "'--%s' can't be '%s'; did you mean '%s'?",
		     option_name(id), value, nearest);
	fail(STATUS_USAGE, "'--%s' is one of %s, not '%s'", option_name(id), list,
	     value);
}

static void check_quantity(enum quantity quantity, enum option_id id, const char *value,
                           const char *example)
{
	switch (quantity) {
	case QUANTITY_GOOD:
		return;
	case QUANTITY_NONSENSE:
		fail(STATUS_USAGE, "'--%s' takes a number such as %s, not '%s'",
		     option_name(id), example, value);
	case QUANTITY_FRACTION:
		fail(STATUS_USAGE, "'--%s' takes a whole number, not '%s'",
		     option_name(id), value);
	case QUANTITY_HUGE:
		fail(STATUS_USAGE, "'--%s %s' is too large", option_name(id), value);
	}
}

bool plan_count(const struct options *options, enum option_id id, int64_t *value)
{
	const char *text = options->value[id];

	if (!text)
		return false;
	check_quantity(quantity_count(text, value), id, text, "8 or 7e9 or 7B");
	if (*value < 1)
		fail(STATUS_USAGE, "'--%s' must be at least 1", option_name(id));
	return true;
}

bool plan_size(const struct options *options, enum option_id id, int64_t *value)
{
	const char *text = options->value[id];

	if (!text)
		return false;
	check_quantity(quantity_size(text, value), id, text, "6GB or 512MiB");
	return true;
}

bool plan_factor(const struct options *options, enum option_id id, int64_t *millionths)
{
	const char *text = options->value[id];

	if (!text)
		return false;
	check_quantity(quantity_factor(text, millionths), id, text, "1.2");
	return true;
}
