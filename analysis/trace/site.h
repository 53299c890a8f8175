/* site.h - where allocations come from, by name; and who owns a block. */
#ifndef TIDEMARK_ANALYSIS_SITE_H
#define TIDEMARK_ANALYSIS_SITE_H

#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include "stack.h"
#include "trace.h"

struct site {
	int64_t id, phase;
	int64_t stack; /* the first that reads like it (alike.h); -1: none was recorded */
	int64_t native_stack; /* -1: none was recorded */
	int64_t module_id;    /* -1: not known */
	char *module, *class; /* its name, or its class where it has none; its class */
	char *op, *shape, *dtype; /* NULL where not known, as those before */
	char *scope; /* 'rollout / kv cache'; NULL: in none of the program's own */
	/* The place as a number: stack, module and operator; stack and module; module and
	 * operator (0: no module). Equal for equal places. */
	uint64_t by_line, by_stack, by_module;
};

/* The owner of a block, as Python names it: a parameter, a buffer, optimizer state. */
struct tensor {
	int64_t address, bytes; /* bytes: of the tensor, not of its block */
	int64_t step, ordinal;  /* when it was looked at; -1: not known */
	int64_t bucket;         /* that its kind belongs to; -1: none */
	char *name, *kind;
};

struct places {
	struct site *sites; /* by id */
	size_t site_count;
	struct tensor *tensors; /* of one device, by address */
	size_t tensor_count;
};

void places_load(struct trace *trace, const char *device, struct places *places);
void places_free(struct places *places);

/* NULL where there is no such site. */
const struct site *places_site(const struct places *places, int64_t id);

/* The same line of code doing the same thing; shapes and native frames may differ. */
bool places_alike(const struct site *one, const struct site *other);

/* A block of device memory and its life, from event to event of steps; died_step -1: still
 * alive at the end of the trace. */
struct block {
	int64_t address, bytes, born_step, died_step, born, died;
};

/* The tensor that lay in a block of a bucket when it was looked at, or NULL. */
const struct tensor *places_owner(const struct places *places,
                                  const struct block *block, int64_t bucket);

/* The next tensor that lay in the block, at another address than the one before; NULL
 * after the last. A flat buffer holds several. */
const struct tensor *places_next(const struct places *places, const struct block *block,
                                 int64_t bucket, const struct tensor *before);

#endif
