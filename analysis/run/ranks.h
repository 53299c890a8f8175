/* ranks.h - a store for a program that poses as one rank of several: it meets its peers
 * there, and they are not. */
#ifndef TIDEMARK_ANALYSIS_RANKS_H
#define TIDEMARK_ANALYSIS_RANKS_H

#include <stdint.h>

/* Starts a process that answers as PyTorch's TCPStore would if every one of `world`
 * ranks did what the one that asks does. It ends with this one. Returns its port on
 * 127.0.0.1; ends the program with status 2 where none can be had. */
int ranks_serve(int64_t world);

#endif
