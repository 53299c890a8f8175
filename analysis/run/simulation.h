/* simulation.h - around a simulated run: its settings, its machine, how it failed. */
#ifndef TIDEMARK_ANALYSIS_SIMULATION_H
#define TIDEMARK_ANALYSIS_SIMULATION_H

#include <stdint.h>
#include <stdio.h>

#include "options.h"
#include "outcome.h"

/* Puts the options into the environment, where the simulated device reads them. Ends the
 * program with status 2 where one is wrong. Returns what other processes hold, in bytes. */
int64_t simulation_settings(const struct options *options, size_t cards);

/* What the machine has that the user should know of. */
void simulation_machine(void);

/* The file the simulator appends what it counted to; the user's own where one is set.
 * The caller's text; NULL where there is no room for one. */
char *simulation_log(void);

/* The file for the JSON, "-" for stdout; NULL where path is. Ends with status 2. */
FILE *simulation_json(const char *path);

/* Says why there is no verdict; the exit status for that. */
int simulation_failed(const struct outcome *outcome, const char *compile_lacks);

#endif
