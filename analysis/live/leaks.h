/* leaks.h - what grows in a run that is watched. */
#ifndef TIDEMARK_ANALYSIS_LIVE_LEAKS_H
#define TIDEMARK_ANALYSIS_LIVE_LEAKS_H

#include "look.h"

/* Takes the answer where it has come, and asks anew where that is due. wait: until it is there;
 * a screen does not, for it must answer a key. */
void leaks_ask(struct look *look, bool wait);

/* Ends the process that asks, if there is one. */
void leaks_forget(struct look *look);

#endif
