/* log.c - appends lines to the file that TIDEMARK_SIM_LOG names, each in one write, so
 * that ranks and workers can share a file.
 * Called from: entry.c, values.c. */
#include "log.h"
#include "card.h"
#include "config.h"
#include "entry.h"
#include "memory.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

void tmksim_log(const char *format, ...)
{
	const char *path = tmksim_text(TMKSIM_LOG);
	if (!*path)
		return;
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		return;
	char line[512];
	int used = snprintf(line, sizeof(line), "%d ", (int)getpid());
	va_list args;
	va_start(args, format);
	used += vsnprintf(line + used, sizeof(line) - (size_t)used - 1, format, args);
	va_end(args);
	if (used > (int)sizeof(line) - 2)
		used = sizeof(line) - 2;
	line[used++] = '\n';
	if (write(fd, line, (size_t)used) < 0) {
		/* the log is a courtesy: a full disk must not end the run */
	}
	close(fd);
}

void tmksim_log_call(const struct tmksim_entry *entry)
{
	tmksim_log("%s %s %s",
	           entry->behaviour == TMKSIM_REFUSE ? "refused" : "accepted",
	           entry->library, entry->name);
}

__attribute__((destructor)) static void log_totals(void)
{
	for (int device = 0; device < TMKSIM_DEVICES; device++)
		if (tmksim_device_touched(device))
			tmksim_log("peak device %d bytes %zu of %zu", device,
			           tmksim_peak_bytes(device),
			           tmksim_card()->memory_bytes);
}
