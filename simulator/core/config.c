/* config.c - the environment variables of the simulated machine, in one table.
 * Read when first asked for, so that children which never touch a device (compilers,
 * shells) are not stopped by a wrong value.
 * Called from: core/, cudart/, libraries/. */
#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *name, *fallback, *meaning;
} options[TMKSIM_OPTIONS] = {
        [TMKSIM_PROFILE] = {"TIDEMARK_SIM_PROFILE", "",
                            "card description (simulator/devices/*.conf); A100-80GB"},
        [TMKSIM_MEMORY] = {"TIDEMARK_SIM_MEMORY", "0",
                           "device memory, instead of the card's"},
        [TMKSIM_OUTSIDE] = {"TIDEMARK_SIM_OUTSIDE", "0",
                            "device memory that other processes hold"},
        [TMKSIM_CONTEXT] = {"TIDEMARK_SIM_CONTEXT", "",
                            "bytes a context takes, instead of the card's"},
        [TMKSIM_COUNT] = {"TIDEMARK_SIM_COUNT", "1", "devices in the machine"},
        [TMKSIM_LAG] = {"TIDEMARK_SIM_LAG", "0",
                        "launches by which an event completes late"},
        [TMKSIM_COPY_MAX] = {"TIDEMARK_SIM_COPY_MAX", "64KiB",
                             "bytes of a copy to the device that are really copied"},
        [TMKSIM_VALUES] = {"TIDEMARK_SIM_VALUES", "plausible",
                           "what the host reads of a result: plausible, computed, "
                           "memory, zero, nan"},
        [TMKSIM_DENSITY] = {"TIDEMARK_SIM_DENSITY", "50",
                            "percent of a mask that is taken to be set"},
        [TMKSIM_CUDNN_WORKSPACE] = {"TIDEMARK_SIM_CUDNN_WORKSPACE", "0",
                                    "bytes every cuDNN engine asks for"},
        [TMKSIM_NCCL_BYTES] = {"TIDEMARK_SIM_NCCL_BYTES", "0",
                               "device memory that each NCCL communicator takes"},
        [TMKSIM_LOG] = {"TIDEMARK_SIM_LOG", "",
                        "file to append calls without a meaning here, and totals, to"},
};

const char *tmksim_text(enum tmksim_option option)
{
	const char *text = getenv(options[option].name);
	return text && *text ? text : options[option].fallback;
}

int tmksim_parse_size(const char *text, size_t *bytes)
{
	static const char units[] = "KMGT";
	char *end;
	size_t digits = strspn(text, "0123456789.");
	if (!digits || digits > 40 || strpbrk(text, "xX"))
		return -EINVAL; /* a sign, "nan", a number in base 16 */
	errno = 0;
	long double number = strtold(text, &end);
	if (end == text || errno)
		return -EINVAL;
	const char *unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		bool decimal = !strcmp(end + 1, "B");
		for (const char *u = units; u <= unit; u++)
			number *= decimal ? 1000 : 1024;
		end += !strcmp(end + 1, "iB") ? 3 : decimal ? 2 : 1;
	}
	if (*end || number > 0x1p50L)
		return -EINVAL;
	*bytes = (size_t)(number + 0.5L);
	return 0;
}

size_t tmksim_number(enum tmksim_option option)
{
	size_t number;
	const char *text = tmksim_text(option);
	if (tmksim_parse_size(text, &number))
		tmksim_die("%s='%s' is not a number (%s)", options[option].name, text,
		           options[option].meaning);
	return number;
}

void tmksim_die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("tidemark simulator: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	_exit(2);
}
