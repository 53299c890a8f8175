/* enrich.h - names from Python, if there is one. See enrich.py, which is embedded. */
#ifndef TIDEMARK_HOOKS_ENRICH_H
#define TIDEMARK_HOOKS_ENRICH_H

#include <stdbool.h>

/* What the script's helpers ask of those who know torch; set when the library is loaded: may
 * the main thread look at gradients now, and is asking for an address to make no sound? */
extern bool (*tmk_enrich_may_read_gradients)(void);
extern void (*tmk_enrich_quiet)(bool on);

/* Looks up the interpreter's functions. Off the hot path. */
void tmk_enrich_prepare(void);

/* Lets the main thread run the script soon, by Py_AddPendingCall: no lock, no GIL, any
 * thread. At most one request waits. */
void tmk_enrich_ask(void);

/* The same, and has it look for models and optimizers that are new, whatever it takes. */
void tmk_enrich_search(void);

/* Has Python tell at its end which exception ended the program. Like tmk_enrich_ask(), and
 * called where a request for memory was refused. */
void tmk_enrich_watch_end(void);

/* In a forked child. */
void tmk_enrich_forked(void);

#endif
