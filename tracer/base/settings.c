/* settings.c - the environment table and the one-line voice of the library.
 * Called from: hooks/process.c (constructor), the writer thread, recovery. */
#include "settings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

struct tmk_settings tmk_settings;
const struct tmk_settings tmk_defaults = {
#define SETTING(field, name, type, value, what) .field = value,
#include "settings.def"
#undef SETTING
};

extern char **environ;

void tmk_say(const char *format, ...)
{
	char line[1024];
	int used = snprintf(line, sizeof(line), "tidemark: ");
	va_list args;
	va_start(args, format);
	int n = vsnprintf(line + used, sizeof(line) - used - 1, format, args);
	va_end(args);
	used += n < 0 ? 0 : n;
	if ((size_t)used > sizeof(line) - 2)
		used = sizeof(line) - 2;
	line[used++] = '\n';
	/* One write: a line of ours never tears a line of the program's. */
	if (write(STDERR_FILENO, line, used) < 0)
		return;
}

int tmk_parse_size(const char *text, uint64_t *bytes)
{
	char *end;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (end == text || errno || *text == '-')
		return -EINVAL;
	static const char units[] = "KMGT";
	const char *u = *end ? strchr(units, *end & ~0x20) : NULL;
	int shift = 0;
	if (u && *end) {
		shift = 10 * (int)(u - units + 1);
		end++;
		if (!strcasecmp(end, "iB") || !strcasecmp(end, "B"))
			end += strlen(end);
	}
	if (*end || (shift && n >> (64 - shift)))
		return -EINVAL;
	*bytes = (uint64_t)n << shift;
	return 0;
}

static const char *read_text(const char *name, const char *otherwise)
{
	const char *v = getenv(name);
	return v && *v ? strdup(v) : otherwise;
}

static bool read_flag(const char *name, bool otherwise)
{
	const char *v = getenv(name);
	if (!v || !*v)
		return otherwise;
	if (!strcmp(v, "0") || !strcmp(v, "1"))
		return *v == '1';
	tmk_say("%s is '%s', which is neither 0 nor 1; using %d", name, v, otherwise);
	return otherwise;
}

static uint64_t read_size(const char *name, uint64_t otherwise)
{
	const char *v = getenv(name);
	uint64_t n;
	if (!v || !*v)
		return otherwise;
	if (!tmk_parse_size(v, &n))
		return n;
	tmk_say("%s is '%s', which is not a size such as 512M; using the default", name,
	        v);
	return otherwise;
}

/* Which of the n words the text is; one that is none of them is reported. */
static int choose(const char *name, const char *text, const char *const *words, int n,
                  int otherwise)
{
	char all[128] = "";
	size_t used = 0;
	for (int i = 0; i < n; i++) {
		if (!strcmp(text, words[i]))
			return i;
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s",
		                         i == 0       ? ""
		                         : i == n - 1 ? " or "
		                                      : ", ",
		                         words[i]);
	}
	tmk_say("%s is '%s', not %s; taking %s", name, text, all, words[otherwise]);
	return otherwise;
}

static const char *const stacks_words[] = {[0] = "none",
                                           [TMK_STACKS_PYTHON] = "python",
                                           [TMK_STACKS_NATIVE] = "native",
                                           [TMK_STACKS_ALL] = "all"};
static const char *const nvtx_words[] = {
        [TMK_NVTX_NONE] = "none", [TMK_NVTX_NAMED] = "named", [TMK_NVTX_ALL] = "all"};
static const char *const enrich_words[] = {[TMK_ENRICH_NEVER] = "0",
                                           [TMK_ENRICH_SELDOM] = "1",
                                           [TMK_ENRICH_EACH] = "each"};

/* A misspelt variable would be silently ignored otherwise. */
static void warn_unknown(void)
{
	static const char *const known[] = {
#define SETTING(field, name, type, value, what) name,
#include "settings.def"
#undef SETTING
	        "TIDEMARK_LIBRARY", /* read by the command */
	};
	for (char **e = environ; e && *e; e++) {
		if (strncmp(*e, "TIDEMARK_", 9) || !strncmp(*e, "TIDEMARK_SIM_", 13) ||
		    !strncmp(*e, "TIDEMARK_TEST_", 14))
			continue;
		size_t n = strcspn(*e, "=");
		bool found = false;
		for (size_t i = 0; i < sizeof(known) / sizeof(*known) && !found; i++)
			found = strlen(known[i]) == n && !strncmp(known[i], *e, n);
		if (!found)
			tmk_say("there is no setting '%.*s'; 'tidemark help "
			        "environment' "
			        "lists them",
			        (int)n, *e);
	}
}

#define READ_TEXT read_text
#define READ_FLAG read_flag
#define READ_SIZE read_size
void tmk_settings_read(void)
{
	struct tmk_settings *s = &tmk_settings;
#define SETTING(field, name, type, value, what) s->field = READ_##type(name, value);
#include "settings.def"
#undef SETTING
	s->want_stacks =
	        choose("TIDEMARK_STACKS", s->stacks, stacks_words, 4, TMK_STACKS_ALL);
	s->want_nvtx = choose("TIDEMARK_NVTX", s->nvtx, nvtx_words, 3, TMK_NVTX_NAMED);
	s->want_enrich = choose("TIDEMARK_ENRICH", s->enrich, enrich_words, 3,
	                        TMK_ENRICH_SELDOM);
	if (s->ring_size < 1 << 16)
		s->ring_size = 1 << 16;
	if (s->ring_size > TMK_RING_MOST)
		s->ring_size = TMK_RING_MOST;
	while (s->ring_size & (s->ring_size - 1))
		s->ring_size += s->ring_size & -s->ring_size;
	if (s->verbose)
		warn_unknown();
}
