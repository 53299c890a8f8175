/* card.c - reads a device profile and answers questions about the card.
 * A profile holds `key = value` lines, `#` starts a comment.
 * Called from: core/, cudart/, driver/, libraries/. */
#include "card.h"
#include "config.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

extern const char tmksim_default_profile[]; /* devices/a100-80gb.conf, built in */

static struct tmksim_card card;
static int devices;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* REMARK: for the list of cards (analysis/formula/cards.h); nothing is read here. */
enum shape { TEXT, CAPABILITY, INTEGER, BYTES, REMARK };
static const struct key {
	const char *name;
	size_t offset;
	enum shape shape;
	size_t least, most;
} keys[] = {
#define AT(field) offsetof(struct tmksim_card, field)
        {"name", AT(name), TEXT, 1, 63},
        {"compute_capability", AT(major), CAPABILITY, 50, 129},
        {"multiprocessors", AT(multiprocessors), INTEGER, 1, 1024},
        {"memory_bytes", AT(memory_bytes), BYTES, 64u << 20, 1ull << 42},
        {"context_bytes", AT(context_bytes), BYTES, 0, 1ull << 36},
        {"l2_bytes", AT(l2_bytes), BYTES, 1 << 16, 1u << 30},
        {"shared_per_multiprocessor", AT(shared_per_multiprocessor), INTEGER, 16384,
         1 << 20},
        {"shared_per_block", AT(shared_per_block), INTEGER, 16384, 1 << 20},
        {"threads_per_multiprocessor", AT(threads_per_multiprocessor), INTEGER, 512,
         4096},
        {"blocks_per_multiprocessor", AT(blocks_per_multiprocessor), INTEGER, 8, 64},
        {"clock_khz", AT(clock_khz), INTEGER, 1, 10000000},
        {"memory_clock_khz", AT(memory_clock_khz), INTEGER, 1, 100000000},
        {"bus_bits", AT(bus_bits), INTEGER, 32, 16384},
#undef AT
        {"aliases", 0, REMARK, 0, 0},
        {"memory_source", 0, REMARK, 0, 0},
        {"memory_date", 0, REMARK, 0, 0},
};
enum { KEYS = sizeof(keys) / sizeof(*keys) };
enum { LARGEST = 1 << 16 }; /* bytes of a profile; ours have a thousand */

static char *trim(char *text)
{
	text += strspn(text, " \t");
	for (size_t n = strlen(text); n && strchr(" \t\r\n", text[n - 1]); n--)
		text[n - 1] = '\0';
	return text;
}

static bool store(const struct key *key, const char *value)
{
	char *at = (char *)&card + key->offset;
	size_t number = 0;
	int major, minor, used = 0;
	switch (key->shape) {
	case REMARK:
		return true;
	case TEXT:
		number = strlen(value);
		if (number <= key->most)
			memcpy(at, value, number + 1);
		break;
	case CAPABILITY:
		/* as many digits as there are, so that no number wraps into the range */
		if (sscanf(value, "%2d.%1d%n", &major, &minor, &used) != 2 ||
		    value[used] || major < 0 || minor < 0)
			return false;
		number = (size_t)(major * 10 + minor);
		card.major = major;
		card.minor = minor;
		break;
	case INTEGER:
	case BYTES:
		if (tmksim_parse_size(value, &number))
			return false;
		if (key->shape == INTEGER)
			*(int *)at = (int)number;
		else
			*(size_t *)at = number;
	}
	return number >= key->least && number <= key->most;
}

static void read_line(char *line, const char *path, int number, bool *seen)
{
	line[strcspn(line, "#\n")] = '\0';
	char *equals = strchr(line, '=');
	if (!*trim(line))
		return;
	if (!equals)
		tmksim_die("%s:%d: '%s' is not 'key = value'", path, number,
		           trim(line));
	*equals = '\0';
	const char *name = trim(line), *value = trim(equals + 1);
	for (int i = 0; i < KEYS; i++) {
		if (strcmp(keys[i].name, name))
			continue;
		if (!store(&keys[i], value))
			tmksim_die("%s:%d: '%s' can't be '%s'", path, number, name,
			           value);
		seen[i] = true;
		return;
	}
	tmksim_die("%s:%d: no such key as '%s'", path, number, name);
}

static void load(void)
{
	const char *path = tmksim_text(TMKSIM_PROFILE);
	struct stat st;
	if (*path && !stat(path, &st) && (!S_ISREG(st.st_mode) || st.st_size > LARGEST))
		tmksim_die("'%s' is not the file of a device profile", path);
	FILE *file = *path ? fopen(path, "re")
	                   : fmemopen((void *)tmksim_default_profile,
	                              strlen(tmksim_default_profile), "r");
	if (!file)
		tmksim_die("can't read the device profile '%s': %m", path);
	bool seen[KEYS] = {false};
	char line[512];
	for (int number = 1; fgets(line, sizeof(line), file); number++)
		read_line(line, *path ? path : "built-in profile", number, seen);
	fclose(file);
	for (int i = 0; i < KEYS; i++)
		if (!seen[i] && keys[i].shape != REMARK)
			tmksim_die("%s: '%s' is missing", path, keys[i].name);
	if (tmksim_number(TMKSIM_MEMORY))
		card.memory_bytes = tmksim_number(TMKSIM_MEMORY);
	if (*tmksim_text(TMKSIM_CONTEXT))
		card.context_bytes = tmksim_number(TMKSIM_CONTEXT);
	devices = (int)tmksim_number(TMKSIM_COUNT);
	if (devices > TMKSIM_DEVICES)
		tmksim_die("TIDEMARK_SIM_COUNT=%d: there is room for %d devices",
		           devices, TMKSIM_DEVICES);
}

const struct tmksim_card *tmksim_card(void)
{
	pthread_once(&once, load);
	return &card;
}

int tmksim_machine_count(void)
{
	tmksim_card();
	return devices;
}

void tmksim_uuid(int machine, unsigned char uuid[16])
{
	uuid[0] = (unsigned char)machine; /* so that a few digits name a device */
	memcpy(uuid + 1, "tidemark-sim", 12);
	memset(uuid + 13, 0, 3);
}

void tmksim_uuid_text(int machine, char *text, size_t bytes)
{
	static const char separators[16] = {
	        [4] = '-', [6] = '-', [8] = '-', [10] = '-'};
	unsigned char uuid[16];
	char full[sizeof("GPU-01234567-89ab-cdef-0123-456789abcdef")] = "GPU-";
	char *at = full + 4;

	tmksim_uuid(machine, uuid);
	for (int i = 0; i < 16; i++) {
		if (separators[i])
			*at++ = separators[i];
		at += sprintf(at, "%02x", uuid[i]);
	}
	snprintf(text, bytes, "%s", full);
}
