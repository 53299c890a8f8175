/* doctor.h - the part of `tidemark doctor` that stands in a file of its own. */
#ifndef TIDEMARK_ANALYSIS_DOCTOR_H
#define TIDEMARK_ANALYSIS_DOCTOR_H

#include "options.h"

/* `doctor --simulate`: name is the Python as it was asked for, program the file. Returns
 * the exit status. */
int doctor_simulate(const struct options *options, const char *name,
                    const char *program);

#endif
