/* capabilities.h - one row of capability for each `need` of hooks.def. */
#ifndef TIDEMARK_HOOKS_CAPABILITIES_H
#define TIDEMARK_HOOKS_CAPABILITIES_H

/* Reported into the trace, under the guard. */
void tmk_report_capabilities(void);

#endif
