/* coverage.h - does the simulated device have what a torch wants of NVIDIA's libraries? */
#ifndef TIDEMARK_ANALYSIS_COVERAGE_H
#define TIDEMARK_ANALYSIS_COVERAGE_H

#include <stddef.h>

struct coverage {
	size_t wanted;  /* symbols of NVIDIA's libraries */
	char **missing; /* "cudaMalloc of libcudart.so.13", or a library; sorted */
	size_t missing_count;
};

/* Reads the ELF files of a torch's folder against the libraries in a stub folder. */
struct coverage coverage_of(const char *torch, const char *stubs);
void coverage_free(struct coverage *coverage);

#endif
