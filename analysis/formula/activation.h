/* activation.h - the activations' terms; for the formula's files alone. */
#ifndef TIDEMARK_ANALYSIS_ACTIVATION_H
#define TIDEMARK_ANALYSIS_ACTIVATION_H

#include "formula.h"

void formula_activations(const struct model *model, const struct training *training,
                         struct formula *formula);

#endif
