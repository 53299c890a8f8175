/* look.h - moments at which names may have changed. */
#ifndef TIDEMARK_HOOKS_LOOK_H
#define TIDEMARK_HOOKS_LOOK_H

#include <stdbool.h>

/* Moments at which the Python side is worth a look (enrich.c): the first forward, an
 * optimizer step that has just ended, a backward where there was no step yet. Cheap; any
 * thread. */
void tmk_look_forward(void);
void tmk_look_step(void);
void tmk_look_backward(bool accumulate);
void tmk_look_forked(void);

#endif
