/* values.h - the values of options that name a thing, a count or a size. All of these end
 * the program with status 2 and one sentence where a value is none. */
#ifndef TIDEMARK_ANALYSIS_VALUES_H
#define TIDEMARK_ANALYSIS_VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include "options.h"

/* The value of an option that names one of a list, -1 where it isn't given. */
int plan_choice(const struct options *options, enum option_id id,
                const char *const *names, int count);

/* A count of at least 1, a size in bytes, a factor in millionths. false: not given. */
bool plan_count(const struct options *options, enum option_id id, int64_t *value);
bool plan_size(const struct options *options, enum option_id id, int64_t *value);
bool plan_factor(const struct options *options, enum option_id id, int64_t *millionths);

#endif
