/* oom.h - an allocation that was refused, and why. */
#ifndef TIDEMARK_ANALYSIS_OOM_H
#define TIDEMARK_ANALYSIS_OOM_H

#include "forecast.h"
#include "frames.h"
#include "growth.h"
#include "processes.h"
#include "segments.h"

enum verdict { SHORTAGE, FRAGMENTATION, OUTSIDE, LIMIT };
extern const char *const verdict_names[];

struct oom {
	int64_t id, requested;
	char *source, *message;
	struct moment moment;     /* just before; its totals are those at the refusal */
	int64_t site;             /* -1: not known */
	const struct site *place; /* NULL: not known */
	struct line line;         /* of the user's code */
	int64_t stack;            /* that it is taken from, or -1 */
	bool line_is_caller; /* the line that began the backward, not that of the tensor */
	bool fatal;          /* the run did not go on */

	struct live live;
	struct segments segments;
	struct forecast forecast;
	int64_t segment; /* what was asked of the device: the request in a segment */
	int64_t free;    /* on the device; -1: not known, as the next three */
	int64_t cached;  /* reserved and not allocated */
	int64_t hole;    /* the largest that could take the request */
	int64_t outside; /* neither free nor PyTorch's */
	double fraction; /* of the device, that the program lets PyTorch take; 1: all */
	int64_t excess;  /* of it, what can't be this process's own context */
	struct processes processes; /* on it, where PyTorch's message names them */
	enum verdict verdict;
	int64_t lacking; /* what the step lacks to get to its end; at least one byte */
};

/* A context with its kernels: 250 to 600 MiB were seen on cards up to now. Memory outside
 * PyTorch beyond it belongs to somebody else. */
enum { CONTEXT_MIB = 600 };

/* The OOMs of a device, the newest last; step -1: of all steps. */
struct oom *ooms_load(struct trace *trace, const struct places *places,
                      const struct device *device, int64_t step, size_t *count);
void ooms_free(struct oom *ooms, size_t count);

#endif
