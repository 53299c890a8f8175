/* fold.h - steps that repeat an earlier one. Writer thread. */
#ifndef TMK_FOLD_H
#define TMK_FOLD_H

#include <stdbool.h>
#include <stdint.h>

struct tmk_patterns;

/* Remembers a raw step by the signatures of its events (the array is taken over). */
void tmk_patterns_add(struct tmk_patterns **p, uint32_t step, uint64_t *signature,
		      uint32_t events);
/* The step whose events equal these, one by one, or -1. */
int64_t tmk_patterns_find(struct tmk_patterns *p, const uint64_t *signature,
			  uint32_t events);
void tmk_patterns_free(struct tmk_patterns *p);

#endif
