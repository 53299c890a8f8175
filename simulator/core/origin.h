/* origin.h - which operator, and which line of the program, the calling thread is in. */
#ifndef TIDEMARK_SIMULATOR_ORIGIN_H
#define TIDEMARK_SIMULATOR_ORIGIN_H

#include <stddef.h>

/* Writes "OPERATOR at FILE:LINE"; parts that are not to be had are left out. Takes Python's
 * interpreter lock for a moment, so the caller may hold no lock that others wait for. */
void tmksim_origin(char *text, size_t bytes);

#endif
