/* fold.h - steps that repeat an earlier one. Writer thread. */
#ifndef TIDEMARK_TRACER_FOLD_H
#define TIDEMARK_TRACER_FOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "model.h"

struct tmk_patterns;

/* What every event of the running step is, one number each, thread by thread: where
 * threads compute side by side their events interleave differently each time, and that is
 * no difference. To be freed; NULL when there is no memory. The step is settled. */
uint64_t *tmk_fold_signature(const struct tmk_model *m);

/* The kept step whose signature equals this one and whose peaks rise as far above their
 * start, or -1. With it the running step's peaks get that one's ordinals: its rows will
 * stand for them. *begin: what its devices' buckets held when it began. */
int64_t tmk_fold_find(struct tmk_model *m, const uint64_t *signature,
                      const int64_t (**begin)[TMK_BUCKETS]);

/* Keeps the running step as a pattern for later ones (the array is taken over). */
void tmk_fold_keep(struct tmk_model *m, uint64_t *signature);

void tmk_patterns_free(struct tmk_patterns *p);

#endif
