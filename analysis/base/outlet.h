/* outlet.h - the file that an export or an import makes. */
#ifndef TIDEMARK_ANALYSIS_OUTLET_H
#define TIDEMARK_ANALYSIS_OUTLET_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct outlet {
	FILE *file;
	char *path;    /* NULL: stdout */
	char *partial; /* what is written until it is complete */
};

/* path "-" is stdout. A file that is there is replaced with force alone, and a database, such as a
 * trace, never. Ends the program with status 2. The file gets its name at outlet_close(). */
void outlet_open(struct outlet *outlet, const char *path, bool force);

/* Bytes that were written; ends the program with status 1 where the disk took them not all. */
int64_t outlet_close(struct outlet *outlet);

#endif
