/* trainer.h - the program that is measured: a training script with its settings put in. */
#ifndef TIDEMARK_ANALYSIS_TRAINER_H
#define TIDEMARK_ANALYSIS_TRAINER_H

#include <stdio.h>

#include "plan.h"

/* Ends the program with status 2 and one sentence where the plan has what no run on one
 * simulated device can show. */
void trainer_check(const struct plan *plan, const struct options *options);

/* The settings as Python, `SETTINGS = {…}`. */
void trainer_settings(const struct plan *plan, const struct options *options,
                      FILE *out);

/* The whole script. */
void trainer_print(const struct plan *plan, const struct options *options, FILE *out);

#endif
