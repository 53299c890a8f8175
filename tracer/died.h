/* died.h - the one line about a run that ended out of memory. */
#ifndef TIDEMARK_TRACER_DIED_H
#define TIDEMARK_TRACER_DIED_H

#include <stdbool.h>
#include <stddef.h>

#include "store.h"

/* "step 2, backward (model.py:31)" of the last refusal, from what the trace holds. false: the
 * program was not ended by one, as far as Python told (hooks/python/ended.py). */
bool tmk_died_text(struct tmk_store *s, char *text, size_t size);

#endif
