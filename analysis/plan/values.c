/* values.c - the values of options that name a thing, a count or a size.
 * Called from: plan/, reconcile/. */
#include "values.h"

#include <stdio.h>
#include <string.h>

#include "fail.h"
#include "nearest.h"
#include "quantity.h"
#include "text.h"

int plan_choice(const struct options *options, enum option_id id,
                const char *const *names, int count)
{
	return option_choice(options, id, names, count);
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
	if (*value < 1000 && (id == OPT_PARAMS || id == OPT_LORA_PARAMS) &&
	    !options->value[OPT_JSON])
		note("'--%s %s' says that the %s has %s; did you mean '%s%s'?",
		     option_name(id), text, id == OPT_PARAMS ? "model" : "adapter",
		     text_plural(*value, "parameter").s, text,
		     id == OPT_PARAMS ? "B" : "M");
	return true;
}

bool plan_size(const struct options *options, enum option_id id, int64_t *value)
{
	const char *text = options->value[id];

	if (!text)
		return false;
	check_quantity(quantity_size(text, value), id, text, "6GB or 512MiB");
	if (*value > 0 && *value < 1024 && id == OPT_CONTEXT)
		fail(STATUS_USAGE, "'--%s %s' says %s; did you mean '%sMiB'?",
		     option_name(id), text, text_size(*value).s, text);
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
