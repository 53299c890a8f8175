/* phase.h - which phase a thread is in, as far as it can know at the moment. */
#ifndef TIDEMARK_HOOKS_PHASE_H
#define TIDEMARK_HOOKS_PHASE_H

#include <stdbool.h>
#include <stdint.h>

#include "doing.h"

/* enum tmk_phase of an event on this thread now; TMK_OPEN or TMK_OPEN_IN_STEP where only
 * the next boundary will tell. *grad_mode: gradients are on. */
uint8_t tmk_phase_now(bool *grad_mode);

/* Registers the RecordFunction callback once its functions are resolved. Calls into
 * torch: outside any lock. */
void tmk_phase_install(void);

/* In a forked child; missing: the latches that fork() could not have. */
void tmk_phase_forked(uint32_t missing);

/* An optimizer's step or zero_grad begins or ends on this thread, where torch's own scopes
 * do not say so. */
void tmk_phase_step(bool begins);
void tmk_phase_zero_grad(bool begins);

/* A differentiable operation: outside of all it begins the forward, in a step a closure's. */
void tmk_phase_forward(void);

#endif
