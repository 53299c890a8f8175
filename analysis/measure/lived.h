/* lived.h - what lived on the device in the run that was measured. */
#ifndef TIDEMARK_ANALYSIS_LIVED_H
#define TIDEMARK_ANALYSIS_LIVED_H

#include "measured.h"

/* Reads the trace: the peak of the two steps, its buckets, what was reserved at the most, and the most that activations took. Ends the program
 * with status 3 where there is nothing in it. */
void lived_read(const char *path, struct measured *measured);

#endif
