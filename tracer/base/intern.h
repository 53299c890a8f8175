/* intern.h - small numbers for what repeats: stacks, frames, modules, shapes, operators,
 * scopes.
 * Lock-free, fixed capacity, anonymous memory: nothing is allocated after the first use.
 * Keyed by 64 + 32 bits of two independent hashes of the whole content; two different
 * contents get one number with probability below 1e-15 in a run of a million stacks. */
#ifndef TIDEMARK_TRACER_INTERN_H
#define TIDEMARK_TRACER_INTERN_H

#include <stdint.h>

enum tmk_table {
	TMK_TABLE_PYFRAME,
	TMK_TABLE_PYSTACK,
	TMK_TABLE_CSTACK,
	TMK_TABLE_MODULE,
	TMK_TABLE_SHAPE,
	TMK_TABLE_OP,
	TMK_TABLE_SCOPE,
	TMK_TABLES
};

/* Maps the tables; 0 or -errno. Also called in a forked child: the old ones are leaked. */
int tmk_intern_init(void);

/* The number of this content, 0 if it has none yet. Any thread. */
uint32_t tmk_intern_find(enum tmk_table t, uint64_t hash, uint64_t check);

/* A new number, 0 when the table is full (counted by the caller as loss). The caller
 * sends the definition and only then calls tmk_intern_add: whoever finds the number in
 * the table may rely on its definition being in a ring. */
uint32_t tmk_intern_new(enum tmk_table t);
void tmk_intern_add(enum tmk_table t, uint64_t hash, uint64_t check, uint32_t id);

static inline uint64_t tmk_mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ull;
	return h ^ (h >> 29);
}

#endif
