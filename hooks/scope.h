/* scope.h - phases and buckets that the program names itself: by tidemark.h, by
 * record_function, by NVTX. A thread has a stack of them; entering and leaving copies a name
 * and no more, and a number is made when something happens inside. */
#ifndef TIDEMARK_HOOKS_SCOPE_H
#define TIDEMARK_HOOKS_SCOPE_H

#include <stdbool.h>
#include <stdint.h>

#include "record.h"

/* Who opened it: an end closes the innermost one of its owner. Any other number is an NVTX
 * domain or the hash of a record_function's name. */
enum { TMK_OWNER_PHASE = 1, TMK_OWNER_BUCKET, TMK_OWNER_NVTX };

void tmk_scope_push(uint64_t owner, enum tmk_scope_kind kind, const char *name);
void tmk_scope_pop(uint64_t owner);

/* "tidemark.phase:NAME" and "tidemark.bucket:NAME": the kind, and *name is set behind the
 * colon. TMK_SCOPE_NONE for any other text, and for NULL. */
enum tmk_scope_kind tmk_scope_parse(const char *text, const char **name);
uint64_t tmk_scope_owner(const char *text);

/* The number of the scope that an event of `phase` on this thread is in, 0: none. Sends
 * definitions: under the guard, while recording. */
uint32_t tmk_scope_now(uint8_t phase);

/* The fixed phase that the innermost named phase has the name of, TMK_OPEN: none has. */
uint8_t tmk_scope_phase(void);

/* An outermost backward begins or ends on this thread: the engine's own threads work for
 * it, and so in its scope. */
void tmk_scope_backward(bool begins);

/* In a forked child. */
void tmk_scope_forked(void);

#endif
