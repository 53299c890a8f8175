/* trainer.h - the program that is measured: a training script with its settings put in. */
#ifndef TIDEMARK_ANALYSIS_TRAINER_H
#define TIDEMARK_ANALYSIS_TRAINER_H

#include <stdio.h>

#include "plan.h"

/* What the plan has that no run on one simulated device can show, in one sentence, which the caller
 * frees; NULL: all can be shown. */
char *trainer_refusal(const struct plan *plan, const struct options *options);

/* The settings as Python, `SETTINGS = {…}`. */
void trainer_settings(const struct plan *plan, const struct options *options,
                      FILE *out);

/* The whole script. */
void trainer_print(const struct plan *plan, const struct options *options, FILE *out);

#endif
