/* gzip.h - a file of gzip's, its content as it stands. */
#ifndef TIDEMARK_ANALYSIS_GZIP_H
#define TIDEMARK_ANALYSIS_GZIP_H

#include <stddef.h>
#include <stdio.h>

void gzip_store(FILE *out, const unsigned char *bytes, size_t count);

#endif
