/* config.h - what a run may set about the simulated machine, by environment variable.
 * The table stands in config.c; docs/simulator.md repeats it and a test compares them. */
#ifndef TIDEMARK_SIMULATOR_CONFIG_H
#define TIDEMARK_SIMULATOR_CONFIG_H

#include <stddef.h>

enum tmksim_option {
	TMKSIM_PROFILE,
	TMKSIM_MEMORY,
	TMKSIM_OUTSIDE,
	TMKSIM_CONTEXT,
	TMKSIM_COUNT,
	TMKSIM_LAG,
	TMKSIM_COPY_MAX,
	TMKSIM_VALUES,
	TMKSIM_DENSITY,
	TMKSIM_CUDNN_WORKSPACE,
	TMKSIM_NCCL_BYTES,
	TMKSIM_LOG,
	TMKSIM_OPTIONS,
};

/* The text of an option, its default if unset; never NULL. */
const char *tmksim_text(enum tmksim_option option);

/* An option as a number; sizes may carry K, M, G or T, with or without "iB". With "B"
 * alone they are decimal, as for the command.
 * Ends the process with one line on stderr if the text is not a number: a run on a
 * machine that nobody asked for is worth nothing. */
size_t tmksim_number(enum tmksim_option option);

/* "24GiB", "512M" or "1000" as bytes. Returns 0, or -EINVAL. */
int tmksim_parse_size(const char *text, size_t *bytes);

/* One line on stderr, then the process ends with status 2. */
_Noreturn void tmksim_die(const char *format, ...)
        __attribute__((format(printf, 1, 2)));

#endif
