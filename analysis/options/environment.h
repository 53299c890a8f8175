/* environment.h - the environment variables of the library and of the command, for people:
 * 'tidemark help environment' and the manual page. */
#ifndef TIDEMARK_ANALYSIS_ENVIRONMENT_H
#define TIDEMARK_ANALYSIS_ENVIRONMENT_H

#include <stddef.h>

struct environment_row {
	const char *name, *otherwise, *what; /* otherwise: the default, "" for none */
};

extern const struct environment_row environment_table[];
extern const size_t environment_count;

#endif
