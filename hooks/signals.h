/* signals.h - what stands behind our sigaction() and signal(). */
#ifndef TIDEMARK_HOOKS_SIGNALS_H
#define TIDEMARK_HOOKS_SIGNALS_H

/* From the library's constructor: finds them, and tells mapped.c. */
void tmk_signals_begin(void);

#endif
