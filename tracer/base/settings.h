/* settings.h - what the environment asks for. Read once, in the constructor, before any
 * other thread exists; constant afterwards. */
#ifndef TIDEMARK_TRACER_SETTINGS_H
#define TIDEMARK_TRACER_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TMK_STACKS_PYTHON = 1, TMK_STACKS_NATIVE = 2, TMK_STACKS_ALL = 3 };
enum { TMK_NVTX_NONE, TMK_NVTX_NAMED, TMK_NVTX_ALL };
enum { TMK_ENRICH_NEVER, TMK_ENRICH_SELDOM, TMK_ENRICH_EACH };

#define TMK_RING_MOST ((uint64_t)1 << 30) /* bytes of one thread's ring, at most */
#define TMK_GIB(n)    ((uint64_t)(n) << 30)
#define TMK_MIB(n)    ((uint64_t)(n) << 20)
#define TMK_TYPE_TEXT const char *
#define TMK_TYPE_FLAG bool
#define TMK_TYPE_SIZE uint64_t
struct tmk_settings {
#define SETTING(field, name, type, value, what) TMK_TYPE_##type field;
#include "settings.def"
#undef SETTING
	int want_stacks; /* TMK_STACKS_*, from stacks */
	int want_nvtx;   /* TMK_NVTX_*, from nvtx */
	int want_enrich; /* TMK_ENRICH_*, from enrich */
};

extern struct tmk_settings tmk_settings;
extern const struct tmk_settings tmk_defaults;

/* Reads the environment; a value that cannot be used is reported in one line each and
 * its default taken. Texts point into the environment as it was then (copied). */
void tmk_settings_read(void);

/* "64K", "1G", "123" to bytes. Returns 0 or -EINVAL. */
int tmk_parse_size(const char *text, uint64_t *bytes);

/* One line on stderr, prefixed "tidemark: ". Safe on any thread; allocates nothing. */
void tmk_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
