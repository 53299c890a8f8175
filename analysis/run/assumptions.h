/* assumptions.h - what of a simulated run rests on values that nobody computed: what the
 * simulator logged of sizes, and of what the host read. */
#ifndef TIDEMARK_ANALYSIS_ASSUMPTIONS_H
#define TIDEMARK_ANALYSIS_ASSUMPTIONS_H

#include <stdint.h>
#include <stdio.h>

#include "json.h"

/* Where the simulator's log stands before a run. */
struct simulator_log {
	char *path;
	int64_t from;
};

struct assumptions {
	int64_t sizes;   /* allocations whose size came from a value nobody computed */
	int64_t guessed; /* of them, those that TIDEMARK_SIM_DENSITY decided */
	char *sized_by;  /* the first one's operator and line */
	char *sized_by_kernel;
	char *refused; /* entry points that said NOT_SUPPORTED, with commas; NULL */

	/* Read by the host, and not known. A line each: "branch\t__bool__\tFILE:LINE" of what
	 * decided something. */
	char *decided;
	int64_t decisions; /* lines of it */
	int64_t least;     /* of them, sizes that are the smallest possible */
	int64_t shares; /* masks that TIDEMARK_SIM_DENSITY filled decided something */
	int64_t looked; /* places that only took a number along */
	int64_t finite; /* places that asked whether numbers are finite */
	char *unknown_inside; /* where values were not computed, with commas; NULL */
	char *uncomputed; /* --values computed: operators that the CPU lacks; NULL */
};

void assumptions_read(struct assumptions *assumptions, const struct simulator_log *log);
void assumptions_free(struct assumptions *assumptions);
struct assumptions assumptions_copy(const struct assumptions *assumptions);

/* "exact": nothing that the host read decided anything, or it was known. "assumed": a plausible
 * value did, or an operator's values could not be computed where all were to be. "lower": a size did of which nothing plausible can be said. */
const char *assumptions_bound(const struct assumptions *assumptions);
void assumptions_print(const struct assumptions *assumptions, FILE *out);
void assumptions_json(const struct assumptions *assumptions, struct json *json);

#endif
