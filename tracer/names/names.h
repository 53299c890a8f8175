/* names.h - what the numbers in the records mean: stacks, frames, modules, shapes,
 * operators, sites. Turns definitions into rows and stack numbers into trie nodes;
 * remembers per stack what the phase and bucket rules need to know. Writer thread. */
#ifndef TIDEMARK_TRACER_NAMES_H
#define TIDEMARK_TRACER_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"
#include "record.h"
#include "store.h"

struct tmk_names;

/* recovered: read back what an earlier writer of this file defined. *lost counts what finds
 * no memory, as long as the names live. NULL without memory. */
struct tmk_names *tmk_names_new(struct tmk_store *store, bool recovered,
                                uint64_t *lost);
void tmk_names_free(struct tmk_names *n);

void tmk_names_pyframe(struct tmk_names *n, const struct tmk_rec_pyframe *r);
void tmk_names_stack(struct tmk_names *n, const struct tmk_rec_stack *r);
void tmk_names_shape(struct tmk_names *n, const struct tmk_rec_shape *r);
void tmk_names_text(struct tmk_names *n, const struct tmk_rec_text *r);

/* What the frames of both stacks tell: frame.h. */
int tmk_names_flags(const struct tmk_names *n, uint32_t python, uint32_t native);
/* The bucket of schema.sql that the innermost bucket around a scope has the name of: one
 * more than its number, 0 for none. */
uint32_t tmk_names_scope_bucket(const struct tmk_names *n, uint32_t scope);

/* The number of a site; its row is written when it is new. 0 without memory. */
struct tmk_site {
	uint32_t phase, thread, python, native, module, op, shape, scope;
};
uint32_t tmk_names_site(struct tmk_names *n, const struct tmk_site *site);

#endif
