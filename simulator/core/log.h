/* log.h - what a run used that has no full meaning here, and what it came to. */
#ifndef TIDEMARK_SIMULATOR_LOG_H
#define TIDEMARK_SIMULATOR_LOG_H

struct tmksim_entry;

/* One line to TIDEMARK_SIM_LOG, at once: the process may end by a signal. */
void tmksim_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
void tmksim_log_call(const struct tmksim_entry *entry);

#endif
