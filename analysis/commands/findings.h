/* findings.h - what a run has to say before its figures, the weightiest first. */
#ifndef TIDEMARK_ANALYSIS_FINDINGS_H
#define TIDEMARK_ANALYSIS_FINDINGS_H

#include <stdio.h>

#include "brief.h"

/* In the order of their weight. */
enum finding_kind {
	FOUND_LEAK,          /* a step keeps more than the one before */
	FOUND_LOOP,          /* a loop inside one step keeps what its turns make */
	FOUND_GROWING,       /* steps peak higher and higher, and nothing is kept */
	FOUND_FRAGMENTATION, /* more than a tenth of what is reserved are holes */
	FOUND_DISAGREES,     /* the formula's peak is another than the measured one */
};

struct found {
	enum finding_kind kind;
	const struct device *device;
	int64_t step;  /* -1: none of its own */
	int64_t bytes; /* what it is about: a step's growth, the holes, the difference */
	char *text;
};

struct findings {
	bool died; /* it ran out of memory and did not go on: brief tells */
	struct brief brief;
	struct found *list;
	size_t count;
	int64_t rate; /* bytes more that are kept with every step; 0: none */
};

void findings_load(struct trace *trace, const struct device *devices, size_t count,
                   struct findings *findings);
void findings_free(struct findings *findings);
void findings_print(const struct findings *findings, FILE *out);
void findings_json(const struct findings *findings, struct json *json);

/* The command that tells more about the first of them; "peak" where it is none that grows. */
const char *findings_command(const struct findings *findings);

#endif
